"""The Helm charts: each example is accepted by the real server, values are checked, and what `helm test` runs."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from dimse_mesh.operator.names import Component
from tests.support import dcmtk
from tests.support.cluster.api import Manifest, Namespace
from tests.support.cluster.control_plane import ControlPlane
from tests.support.cluster.helm import CHART, run
from tests.support.cluster.operator import kubectl, start_operator
from tests.support.kubelet import start
from tests.support.nats import nats_server, nats_server_binary
from tests.support.process import wait_until

VERSION = ("--kube-version", "1.36.3")
"""A helm built like this one takes an old version for granted."""
WITH_NATS = "k8s/helm/dimse-mesh-nats"
EXAMPLES = sorted(Path("k8s/helm/examples").glob("*.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_accepted_by_the_server(
    helm: str, namespace: Namespace, admin: Path, example: Path
) -> None:
    arguments = ["template", "mesh", CHART, *VERSION, "--values", str(example), "--namespace", namespace.name]
    text = run(helm, *arguments)
    kubectl(
        admin, "apply", "--dry-run=server", "--validate=strict", "-n", namespace.name, "-f", "-", text=text
    )


def test_chart_is_well_formed_and_its_values_are_checked(helm: str) -> None:
    run(helm, "lint", "--strict", CHART, "--values", "k8s/helm/examples/both.yaml")
    said = run(helm, "template", CHART, *VERSION, "--set", "zones.a.natsUrl=n:1,zones.a.typo=1", fails=True)
    assert "typo" in said
    said = run(
        helm, "template", CHART, "--set", "zones.a.targetDimsePort=70000,zones.a.natsUrl=n:1", fails=True
    )
    assert "targetDimsePort" in said


IMAGE = ("--set", "image.repository=dimse-mesh,image.tag=latest")


def by_name(text: str) -> dict[tuple[str, str], Manifest]:
    items = [item for item in yaml.safe_load_all(text) if item and item["kind"] != "Namespace"]
    return {(item["kind"], item["metadata"]["name"]): item for item in items}


def test_operator_of_the_chart_is_that_of_kustomize(helm: str, admin: Path) -> None:
    values = [*IMAGE, "--set", "operator.clusterWide=true"]
    ours = run(helm, "template", "mesh", CHART, *VERSION, "--namespace", "dimse-mesh-system", *values)
    theirs = [kubectl(admin, "kustomize", leaf) for leaf in ("k8s/operator", "k8s/rbac/everywhere")]
    assert by_name(ours) == by_name("---\n".join(theirs))


@pytest.mark.parametrize(
    ("values", "namespaces"), [((), ["mesh"]), (("--set", "operator.namespaces={a,b}"), ["a", "b"])]
)
def test_operator_of_the_chart_has_rights_where_zones_are_alone(
    helm: str, values: tuple[str, ...], namespaces: list[str]
) -> None:
    text = run(helm, "template", "mesh", CHART, *VERSION, "--namespace", "mesh", *IMAGE, *values)
    items = [item for item in yaml.safe_load_all(text) if item]
    assert not [item for item in items if item["kind"] == "ClusterRoleBinding"]
    bound = [
        item for item in items if item["kind"] == "RoleBinding" and item["roleRef"]["kind"] == "ClusterRole"
    ]
    assert sorted((item["metadata"]["namespace"], item["roleRef"]["name"]) for item in bound) == [
        (name, role) for name in namespaces for role in ("dimse-mesh-operator", "dimse-mesh-operator-zone")
    ]
    assert {one["namespace"] for item in bound for one in item["subjects"]} == {"mesh"}
    (operator,) = [item for item in items if item["kind"] == "Deployment"]
    args = operator["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args[-2:] == [f"--namespace={','.join(namespaces)}", "--lease-namespace=mesh"]


def nats_chart() -> Path:
    """Return the archive of NATS' own chart; skip where it isn't in the cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dimse-mesh"
    folder = Path(os.environ.get("DIMSE_MESH_CACHE", cache)) / "nats-chart"
    chart = yaml.safe_load(Path(f"{WITH_NATS}/Chart.yaml").read_text())
    (version,) = [one["version"] for one in chart["dependencies"] if one["name"] == "nats"]
    archive = folder / f"nats-{version}.tgz"
    if not archive.exists():
        pytest.skip(f"no {archive}: helm pull nats --repo https://nats-io.github.io/k8s/helm/charts/")
    return archive


def test_chart_with_nats_is_accepted_by_the_server_and_by_nats(
    helm: str, namespace: Namespace, admin: Path, tmp_path: Path
) -> None:
    archive = nats_chart()
    chart = tmp_path / "chart"
    shutil.copytree(WITH_NATS, chart)
    shutil.copytree(CHART, chart / "charts/dimse-mesh")
    shutil.copy(archive, chart / "charts")
    arguments = ["template", "mesh", str(chart), *VERSION, "--namespace", namespace.name]
    text = run(helm, *arguments, "--values", f"{WITH_NATS}/example.yaml")
    kubectl(
        admin, "apply", "--dry-run=server", "--validate=strict", "-n", namespace.name, "-f", "-", text=text
    )
    items = {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(text) if item}
    host, _, port = items["DimseProxy", "hospital"]["spec"]["natsUrl"].partition(":")
    assert int(port) in {one["port"] for one in items["Service", host]["spec"]["ports"]}
    config = tmp_path / "nats.conf"
    config.write_text(items["ConfigMap", "nats-config"]["data"]["nats.conf"])
    check = [nats_server_binary(), "-t", "-c", str(config)]
    done = subprocess.run(check, capture_output=True, env={"SERVER_NAME": "nats-0"}, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    # Without it, the operator and the zones are left.
    rest = run(helm, *arguments, "--set", "nats.enabled=false")
    assert "StatefulSet" not in rest
    assert "dimse-mesh-operator" in rest


def test_what_helm_test_runs_is_an_echo_with_the_zones_own_secrets(
    helm: str, plane: ControlPlane, namespace: Namespace, tmp_path: Path
) -> None:
    """The pod's own command, with the files that its volumes name; the executor and its target are real."""
    target, target_port = dcmtk.storescp(tmp_path / "received", ae_title="PACS")
    token = "not for everybody"
    login = f'authorization {{ token: "{token}" }}\n'
    with nats_server(tmp_path / "nats", config=login) as nats, ExitStack() as running:
        running.callback(target.stop)
        spec = {
            "natsUrl": f"127.0.0.1:{nats.port}",
            "natsTokenSecret": "mesh-token",
            "applicationEntityTitle": "PACS",
            "targetDimseHost": "127.0.0.1",
            "targetDimsePort": target_port,
        }
        values = tmp_path / "values.yaml"
        echo = {"enabled": True, "zone": "hospital", "called": "PACS"}
        values.write_text(yaml.safe_dump({"zones": {"hospital": spec}, "echo": echo}))
        text = run(helm, "template", "mesh", CHART, *VERSION, "-n", namespace.name, "--values", str(values))
        items = {item["kind"]: item for item in yaml.safe_load_all(text) if item}
        encoded = base64.b64encode(token.encode()).decode()
        namespace.create("Secret", "mesh-token", data={"token": encoded})
        running.enter_context(start_operator(plane, tmp_path / "operator"))
        plane.api.create(items["DimseProxy"])
        namespace.until_ready("hospital")
        executor = start(tmp_path / "scu", spec, Component.SCU, {"mesh-token": {"token": token}})
        running.callback(executor.child.stop)
        wait_until(lambda: executor.readyz()[0] == 200, "the executor is ready", timeout=60)
        done = run_pod(items["Pod"], namespace, tmp_path / "pod")
        assert done.returncode == 0, done.stdout
        wrong = base64.b64encode(b"guessed").decode()
        namespace.patch("Secret", "mesh-token", {"data": {"token": wrong}})
        assert run_pod(items["Pod"], namespace, tmp_path / "again").returncode != 0


def run_pod(pod: Manifest, namespace: Namespace, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the command of a pod's container with the files of its volumes."""
    (container,) = pod["spec"]["containers"]
    mounts = {one["name"]: f"{one['mountPath']}/" for one in container["volumeMounts"]}
    here = {path: f"{directory / name}/" for name, path in mounts.items()}
    anywhere = re.compile("|".join(map(re.escape, here)))

    def local(text: str) -> str:
        return anywhere.sub(lambda found: here[found[0]], text)

    for volume in pod["spec"]["volumes"]:
        folder = directory / volume["name"]
        folder.mkdir(parents=True)
        if "configMap" in volume:
            for name, text in namespace.get("ConfigMap", volume["configMap"]["name"])["data"].items():
                (folder / name).write_text(local(text))
        elif "secret" in volume:
            data = namespace.get("Secret", volume["secret"]["secretName"])["data"]
            for item in volume["secret"]["items"]:
                (folder / item["path"]).write_bytes(base64.b64decode(data[item["key"]]))
    command = [sys.executable, "-m", "dimse_mesh.app", *map(local, container["args"])]
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120
    )
