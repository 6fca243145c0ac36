"""The Helm chart: every example installed on the real server, zones Ready, and nothing but the definition left."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.cluster.api import Namespace
from tests.support.cluster.control_plane import ControlPlane
from tests.support.cluster.operator import kubectl, start_operator

BUILD = Path(__file__).parent / "helm/build.sh"
VERSION = ("--kube-version", "1.36.3")
"""A helm built like this one takes an old version for granted."""
CHART = "k8s/helm/dimse-mesh"
EXAMPLES = sorted(Path("k8s/helm/examples").glob("*.yaml"))


@pytest.fixture(scope="module")
def helm() -> str:
    """The helm program, built from source once; without Go, skip or fail in CI."""
    done = subprocess.run([str(BUILD)], capture_output=True, text=True, check=False, timeout=1200)
    if done.returncode == 0:
        return done.stdout.strip()
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if shutil.which("go") is None and os.environ.get("CI") != "true":
        pytest.skip(last)
    pytest.fail(f"helm was not built: {last}")


def run(helm: str, *arguments: str, fails: bool = False) -> str:
    done = subprocess.run(
        [helm, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_accepted_by_the_server(
    helm: str, namespace: Namespace, admin: Path, example: Path
) -> None:
    arguments = ["template", "mesh", CHART, *VERSION, "--values", str(example), "--namespace", namespace.name]
    text = run(helm, *arguments)
    kubectl(
        admin, "apply", "--dry-run=server", "--validate=strict", "-n", namespace.name, "-f", "-", text=text
    )


def test_release_comes_and_goes_and_the_definition_stays(
    helm: str, plane: ControlPlane, namespace: Namespace, admin: Path, tmp_path: Path
) -> None:
    install = ["install", "mesh", CHART, "--values", "k8s/helm/examples/zone.yaml"]
    where = ["--namespace", namespace.name, "--kubeconfig", str(admin)]
    with start_operator(plane, tmp_path):
        run(helm, *install, *where)
        namespace.until_ready("hospital")
        run(
            helm,
            "upgrade",
            "mesh",
            CHART,
            *where,
            "--reuse-values",
            "--set",
            "zones.hospital.targetDimsePort=105",
        )
        namespace.until(
            lambda: "port: 105\n" in namespace.get("ConfigMap", "hospital-scu")["data"]["zone.yaml"],
            "the change",
        )
        namespace.until_ready("hospital")
        run(helm, "uninstall", "mesh", *where)
        namespace.until(lambda: not namespace.made(), "nothing left")
    assert plane.api.get("CustomResourceDefinition", "dimseproxies.imaging-ingestion.alvearie.org")


def test_chart_is_well_formed_and_its_values_are_checked(helm: str) -> None:
    run(helm, "lint", "--strict", CHART, "--values", "k8s/helm/examples/both.yaml")
    said = run(helm, "template", CHART, *VERSION, "--set", "zones.a.natsUrl=n:1,zones.a.typo=1", fails=True)
    assert "typo" in said
    said = run(
        helm, "template", CHART, "--set", "zones.a.targetDimsePort=70000,zones.a.natsUrl=n:1", fails=True
    )
    assert "targetDimsePort" in said


def test_operator_of_the_chart_is_that_of_kustomize(helm: str, admin: Path) -> None:
    values = ["--set", "image.repository=dimse-mesh,image.tag=latest"]
    text = run(helm, "template", "mesh", CHART, *VERSION, "--namespace", "dimse-mesh-system", *values)
    ours = {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(text) if item}
    built = yaml.safe_load_all(kubectl(admin, "kustomize", "k8s/operator"))
    theirs = {(item["kind"], item["metadata"]["name"]): item for item in built if item["kind"] != "Namespace"}
    assert ours == theirs
