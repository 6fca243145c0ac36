"""Everything that k8s/ ships, on a cluster of its own: from nothing to Ready, and back to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dimse_mesh.operator.names import STANDING
from tests.cluster.test_installations import scaled_object_definition
from tests.support.cluster.api import MADE, Api, Namespace
from tests.support.cluster.control_plane import ControlPlane, control_plane
from tests.support.cluster.helm import CHART, run
from tests.support.cluster.node import node
from tests.support.cluster.operator import SYSTEM, bind_operator, kubectl, start_operator
from tests.support.process import Child, wait_until

SAMPLES = Path("k8s/samples")
EXAMPLES = Path("k8s/helm/examples")
ORIGINAL = SAMPLES / "original.yaml"
SECRETS: dict[str, dict[str, dict[str, str]]] = {
    "imaging": {
        "mesh-credentials": {"credentials": "x"},
        "nats-ca": {"ca.crt": "x"},
        "nats-client": {"tls.crt": "x", "tls.key": "x"},
        "listener-cert": {"tls.crt": "x", "tls.key": "x"},
        "modality-ca": {"ca.crt": "x"},
        "pacs-ca": {"ca.crt": "x"},
        "mesh-client": {"tls.crt": "x", "tls.key": "x"},
        "zone-keys": {"1.key": "x", "2.next": "x"},
    },
    "both": {"listener-cert": {"tls.crt": "x", "tls.key": "x"}},
}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A cluster with nothing of ours but the definition."""
    with control_plane(tmp_path_factory.mktemp("empty")) as plane, node(plane.api):
        yield plane


@pytest.fixture(scope="module")
def root(empty: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of that cluster that may do everything."""
    return empty.write_kubeconfig(tmp_path_factory.mktemp("root") / "kubeconfig")


def made_in(api: Api, name: str) -> Namespace:
    """Make a namespace, with the Secrets that its zones use."""
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    namespace = Namespace(api, name)
    for secret, keys in SECRETS.get(name, {}).items():
        namespace.create("Secret", secret, stringData=keys)
    return namespace


def ours(api: Api) -> set[str]:
    """Return what an operator has made, and pods of it, in the whole cluster."""
    query = {"labelSelector": "app.kubernetes.io/name=dimse-mesh"}
    return {
        f"{kind} {item['metadata']['namespace']}/{item['metadata']['name']}"
        for kind in (*MADE, "Pod")
        for item in api.list(kind, **query)
        if item["metadata"]["labels"].get("app.kubernetes.io/component") != "operator"
    }


def until_nothing_is_left(api: Api) -> None:
    wait_until(lambda: not api.list("DimseProxy"), "no finalizer holds a zone", timeout=60)
    try:
        wait_until(lambda: not ours(api), "nothing is left", timeout=120)
    except AssertionError:
        raise AssertionError(sorted(ours(api))) from None


def until_gone(api: Api, *namespaces: str) -> None:
    wait_until(
        lambda: not any(api.get("Namespace", name) for name in namespaces), "they are gone", timeout=180
    )


def well(operator: Child) -> None:
    assert operator.returncode is None, operator.describe()
    for word in ("forbidden", " cannot ", "Traceback"):
        assert word not in operator.output, operator.describe()


def zones(file: Path) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load_all(file.read_text()) if item and item["kind"] == "DimseProxy"]


def test_samples_base_and_chart_with_the_operator_for_production(
    empty: ControlPlane, root: Path, helm: str, tmp_path: Path
) -> None:
    """At once. The operator goes last; then, with another zone, first."""
    api = empty.api
    api.create(scaled_object_definition())  # `full` scales by KEDA
    named = {
        name: made_in(api, name) for name in ("imaging", "zone-a", "zone-b", "original", "plain", "chart")
    }
    kubectl(root, "apply", "-k", "k8s/overlays/prod")
    for name in set(named) - {"imaging"}:  # as more folders beside that one do
        bind_operator(api, name)
    options = ("--namespace", ",".join(named), "--lease-namespace", SYSTEM)
    with start_operator(empty, tmp_path / "operator", *options) as operator:
        for sample in sorted(SAMPLES.glob("[!k]*.yaml")):
            kubectl(root, "apply", "-n", "original" if sample == ORIGINAL else "", "-f", str(sample))
        kubectl(root, "apply", "-n", "plain", "-k", "k8s/base")
        where = ["--namespace", "chart", "--kubeconfig", str(root)]
        run(helm, "install", "mesh", CHART, "--values", str(EXAMPLES / "zone.yaml"), *where)
        for sample in sorted(SAMPLES.glob("[!k]*.yaml")):
            for zone in zones(sample):
                named[zone["metadata"].get("namespace", "original")].until_ready(zone["metadata"]["name"])
        named["chart"].until_ready("hospital")
        named["plain"].until(lambda: available(named["plain"]) == len(STANDING), "the plain zone's pods run")
        change = ["--reuse-values", "--set", "zones.hospital.targetDimsePort=105"]
        run(helm, "upgrade", "mesh", CHART, *change, *where)
        named["chart"].until(
            lambda: "port: 105\n" in named["chart"].get("ConfigMap", "hospital-scu")["data"]["zone.yaml"],
            "the release is changed",
        )

        for sample in sorted(SAMPLES.glob("[!k]*.yaml")):
            kubectl(root, "delete", "-n", "original" if sample == ORIGINAL else "", "-f", str(sample))
        kubectl(root, "delete", "-n", "plain", "-k", "k8s/base")
        run(helm, "uninstall", "mesh", *where)
        until_nothing_is_left(api)
        well(operator)

        kubectl(root, "apply", "-n", "original", "-f", str(ORIGINAL))
        named["original"].until_ready("archive-proxy")
        kubectl(root, "delete", "-k", "k8s/overlays/prod", "--wait=false")
    assert len(named["original"].names("Deployment")) == len(STANDING)
    kubectl(root, "delete", "-n", "original", "-f", str(ORIGINAL))
    until_nothing_is_left(api)
    until_gone(api, SYSTEM)
    api.delete("CustomResourceDefinition", "scaledobjects.keda.sh")
    for name in named:
        api.delete("Namespace", name)


def available(namespace: Namespace) -> int:
    return sum(
        item["status"].get("availableReplicas", 0)
        for item in namespace.api.list("Deployment", namespace=namespace.name)
    )


def test_chart_with_its_own_operator(empty: ControlPlane, root: Path, helm: str, tmp_path: Path) -> None:
    api = empty.api
    namespace = made_in(api, "both")
    where = ["--namespace", "both", "--kubeconfig", str(root)]
    run(helm, "install", "mesh", CHART, "--values", str(EXAMPLES / "both.yaml"), *where)
    assert not [
        item["roleRef"]["name"]
        for item in api.list("ClusterRoleBinding")
        if item["roleRef"]["name"].startswith("dimse-mesh")
    ]
    with start_operator(empty, tmp_path / "operator", "--namespace", "both", namespace="both") as operator:
        for zone in ("hospital", "cloud"):
            namespace.until_ready(zone)
        well(operator)
    # Helm removes the operator with its zones, in no order that we could choose.
    run(helm, "uninstall", "mesh", *where)
    until_nothing_is_left(api)
    assert api.get("ClusterRole", "dimse-mesh-operator") is None
    assert api.get("CustomResourceDefinition", "dimseproxies.imaging-ingestion.alvearie.org")
    api.delete("Namespace", "both")


def test_overlay_for_development_with_the_definition(empty: ControlPlane, root: Path, tmp_path: Path) -> None:
    """The definition goes while the operator is still running."""
    api = empty.api
    until_gone(api, "zone-a", "zone-b")  # a former test's
    kubectl(root, "apply", "--server-side", "--force-conflicts", "-k", "k8s/overlays/dev")
    with start_operator(empty, tmp_path / "operator") as operator:
        Namespace(api, "zone-a").until_ready("hospital")
        Namespace(api, "zone-b").until_ready("cloud")
        well(operator)
        kubectl(root, "delete", "--ignore-not-found", "-k", "k8s/overlays/dev")
        definition = "dimseproxies.imaging-ingestion.alvearie.org"
        wait_until(lambda: api.get("CustomResourceDefinition", definition) is None, "it is gone", timeout=60)
        wait_until(lambda: not ours(api), "nothing is left", timeout=120)
        assert operator.returncode is None, operator.describe()
        assert "Traceback" not in operator.output, operator.describe()
    until_gone(api, "zone-a", "zone-b", "nats", SYSTEM)
