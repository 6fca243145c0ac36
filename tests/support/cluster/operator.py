"""The operator as a process that has the rights of its ServiceAccount, and no others."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

from tests.support.cluster.api import Api, Manifest
from tests.support.cluster.control_plane import ControlPlane
from tests.support.manifests import built
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


def bind_operator(api: Api, namespace: str) -> None:
    """Let the operator work in a namespace: what `kubectl apply -k k8s/rbac/zone` does."""
    for binding in built("rbac/zone"):
        api.create({**binding, "metadata": {**binding["metadata"], "namespace": namespace}})


def rights_missed(operator: Child, api: Api) -> list[str]:
    """Return the lines of an operator's log that tell of a right that it hasn't, of RBAC.

    With a namespace that is being deleted its bindings go, too: what is refused there from then on is no news.
    """
    return [line for line in operator.output.splitlines() if " cannot " in line and not _is_late(line, api)]


def _is_late(line: str, api: Api) -> bool:
    written = re.match(r"\S+ [\d:]+", line)
    names = set(re.findall(r'in the namespace \\*"([^"\\]+)', line))
    if written is None or not names:
        return False
    at = datetime.fromisoformat(written[0]) + timedelta(seconds=1)  # its fraction is cut off
    return all(name in api.namespaces_deleted and api.namespaces_deleted[name] <= at for name in names)


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
