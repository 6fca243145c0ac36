"""The operator as a process that has the rights of its ServiceAccount, and no others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.cluster.api import Manifest
from tests.support.cluster.control_plane import ControlPlane
from tests.support.process import Child, require_tool

SYSTEM = "dimse-mesh-system"
ACCOUNT = "dimse-mesh-operator"


def kubectl(kubeconfig: Path, *arguments: str, text: str | None = None) -> str:
    """Run kubectl; return its output.

    Raises:
        AssertionError: it failed.
    """
    done = subprocess.run(
        [require_tool("kubectl"), "--kubeconfig", str(kubeconfig), *arguments],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}:\n{done.stdout}"
    return done.stdout


def token_for(plane: ControlPlane, namespace: str = SYSTEM, account: str = ACCOUNT) -> str:
    """Return a token of a ServiceAccount, as its pods would get one."""
    request: Manifest = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = plane.api.path("ServiceAccount", account, namespace=namespace)
    return str(plane.api.ask("POST", f"{path}/token", request)["status"]["token"])


def start_operator(
    plane: ControlPlane,
    directory: Path,
    *options: str,
    image: str = "dimse-mesh:test",
    namespace: str = SYSTEM,
) -> Child:
    """Start `dimse-mesh operator run` as the ServiceAccount of `namespace`."""
    directory.mkdir(parents=True, exist_ok=True)
    token = token_for(plane, namespace)
    kubeconfig = plane.write_kubeconfig(directory / "kubeconfig", token, namespace=namespace)
    command = [sys.executable, "-m", "dimse_mesh.operator", "run", "--image", image, *options]
    return Child(command, log=directory / "operator.log", env={"KUBECONFIG": str(kubeconfig)})
