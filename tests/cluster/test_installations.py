"""What k8s/ ships, applied by kubectl: an operator for one namespace, KEDA that comes and goes, and the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster.api import Api, Namespace
from tests.support.cluster.control_plane import ControlPlane
from tests.support.cluster.operator import SYSTEM, kubectl, start_operator

ORIGINAL: dict[str, Any] = yaml.safe_load(Path("k8s/samples/original.yaml").read_text())["spec"]
NAME = "archive-proxy"
KEDA: dict[str, Any] = {"services": {"store": {"autoscaling": {"scaler": "keda"}}}}
KEDA |= {"observability": {"prometheusUrl": "http://prometheus:9090"}}


def test_operator_of_one_namespace_needs_no_rights_in_the_cluster(
    plane: ControlPlane, namespace: Namespace, admin: Path, tmp_path: Path
) -> None:
    built = kubectl(admin, "kustomize", "k8s/overlays/namespaced").replace(
        "namespace: imaging", f"namespace: {namespace.name}"
    )
    kinds = {item["kind"] for item in yaml.safe_load_all(built)}
    assert kinds == {"ServiceAccount", "Role", "RoleBinding", "Deployment", "NetworkPolicy"}
    kubectl(admin, "apply", "-f", "-", text=built)
    assert plane.api.get("ClusterRoleBinding", f"dimse-mesh-operator-{namespace.name}") is None
    with start_operator(plane, tmp_path, "--namespace", namespace.name, namespace=namespace.name) as operator:
        spec = {**ORIGINAL, "natsTokenSecret": "token"}
        namespace.create("Secret", "token", data={"token": "eA=="})
        namespace.create("DimseProxy", NAME, spec=spec)
        namespace.until_ready(NAME)
        namespace.delete("Service", NAME)
        namespace.until(lambda: namespace.names("Service") == {NAME}, "it is back")
        namespace.delete("DimseProxy", NAME)
        namespace.until(lambda: not namespace.made(), "nothing left")
        assert " cannot " not in operator.output, operator.output
        assert namespace.names("Lease") == {"dimse-mesh-operator"}


def test_with_the_least_rights_the_operator_works_where_it_is_bound_alone(
    plane: ControlPlane, namespace: Namespace, admin: Path, tmp_path: Path
) -> None:
    plane.api.delete("ClusterRoleBinding", "dimse-mesh-operator-zone")
    try:
        with start_operator(plane, tmp_path):
            namespace.create("Secret", "token", data={"token": "eA=="})
            namespace.create("DimseProxy", NAME, spec={**ORIGINAL, "natsTokenSecret": "token"})
            namespace.until(
                lambda: namespace.condition(NAME, "Ready")["reason"] == "Forbidden", "it says what it lacks"
            )
            assert "may not read Secret token in namespace" in namespace.status(NAME)["message"]
            assert not namespace.made()
            kubectl(admin, "apply", "--namespace", namespace.name, "-k", "k8s/rbac/zone")
            namespace.until_ready(NAME, timeout=120)
    finally:
        kubectl(admin, "apply", "--namespace", SYSTEM, "-k", "k8s/rbac")


def scaled_object_definition() -> dict[str, Any]:
    """Return what KEDA's own definition amounts to here: a kind that takes anything."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "ScaledObject", "plural": "scaledobjects", "singular": "scaledobject"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "scaledobjects.keda.sh"},
        "spec": {"group": "keda.sh", "scope": "Namespaced", "names": names, "versions": [version]},
    }


def test_keda_missing_installed_and_removed_again(
    plane: ControlPlane, api: Api, namespace: Namespace, tmp_path: Path
) -> None:
    with start_operator(plane, tmp_path) as operator:
        namespace.create("DimseProxy", NAME, spec={**ORIGINAL, **KEDA})
        namespace.until(lambda: namespace.condition(NAME, "Ready")["reason"] == "KedaMissing", "it is said")
        assert namespace.status(NAME)["message"].startswith("spec.services.store.autoscaling.scaler: keda: ")
        # Everything else stands.
        namespace.until(lambda: len(namespace.names("Deployment")) == 5, "five Deployments")

        api.create(scaled_object_definition())
        namespace.until(lambda: namespace.names("ScaledObject") == {f"{NAME}-store"}, "a ScaledObject")
        namespace.until_ready(NAME)

        api.delete("CustomResourceDefinition", "scaledobjects.keda.sh")
        namespace.until(lambda: not api.list("ScaledObject"), "KEDA is gone")
        namespace.patch("DimseProxy", NAME, {"spec": {"targetDimsePort": 104}})
        namespace.until(
            lambda: "port: 104\n" in namespace.get("ConfigMap", f"{NAME}-scu")["data"]["zone.yaml"],
            "changes are carried out all the same",
        )
        namespace.patch("DimseProxy", NAME, {"spec": {"services": None}})
        namespace.until_ready(NAME)
        assert "Traceback" not in operator.output, operator.output


def test_removing_the_operator_leaves_definition_and_zones(
    plane: ControlPlane, namespace: Namespace, admin: Path, tmp_path: Path
) -> None:
    with start_operator(plane, tmp_path):
        namespace.create("DimseProxy", NAME, spec=ORIGINAL)
        namespace.until_ready(NAME)
    for overlay in ("k8s/overlays/prod", "k8s/overlays/namespaced"):
        built = [item["kind"] for item in yaml.safe_load_all(kubectl(admin, "kustomize", overlay))]
        assert "CustomResourceDefinition" not in built
    assert namespace.get("DimseProxy", NAME)
    assert len(namespace.names("Deployment")) == 5
