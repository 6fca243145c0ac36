"""What k8s/ ships, applied by kubectl: an operator for one namespace, KEDA that comes and goes, and the way out."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster.api import Api, Namespace
from tests.support.cluster.control_plane import ControlPlane
from tests.support.cluster.operator import ACCOUNT, SYSTEM, kubectl, rights_missed, start_operator
from tests.support.process import require_tool

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
        assert rights_missed(operator, plane.api) == []
        assert namespace.names("Lease") == {"dimse-mesh-operator"}


SPEC: dict[str, Any] = {**ORIGINAL, "natsTokenSecret": "token"}
RIGHTS = (
    ("get", "secrets"),
    ("list", "secrets"),
    ("list", "configmaps"),
    ("list", "pods"),
    ("patch", "pods"),
    ("list", "deployments.apps"),
    ("patch", "deployments.apps"),
    ("delete", "deployments.apps"),
    ("list", "dimseproxies.imaging-ingestion.alvearie.org"),
)


def may(admin: Path, verb: str, resource: str, namespace: str) -> bool:
    """Ask the API server what the operator's account may do; an empty namespace: everywhere."""
    account = f"--as=system:serviceaccount:{SYSTEM}:{ACCOUNT}"
    where = ["--namespace", namespace] if namespace else ["--all-namespaces"]
    command = [require_tool("kubectl"), "--kubeconfig", str(admin), "auth", "can-i", verb, resource, *where]
    done = subprocess.run([*command, account], capture_output=True, text=True, check=False, timeout=60)
    answer = done.stdout.split()
    assert answer[:1] in (["yes"], ["no"]), done.stderr
    return answer[0] == "yes"


def make_zone(namespace: Namespace) -> None:
    namespace.create("Secret", "token", data={"token": "eA=="})
    namespace.create("DimseProxy", NAME, spec=SPEC)


def test_an_operator_for_production_has_rights_in_the_namespaces_that_it_watches_alone(
    plane: ControlPlane, namespace: Namespace, unbound: Namespace, admin: Path, tmp_path: Path
) -> None:
    """Another namespace has none of it; one that is not there keeps no other from being looked after."""
    plane.api.delete("ClusterRoleBinding", "dimse-mesh-operator")
    for binding in ("dimse-mesh-operator", "dimse-mesh-operator-zone"):
        plane.api.delete("RoleBinding", binding, namespace=namespace.name)
    try:
        built = kubectl(admin, "kustomize", "k8s/overlays/prod")
        (operator,) = [item for item in yaml.safe_load_all(built) if item["kind"] == "Deployment"]
        args = operator["spec"]["template"]["spec"]["containers"][0]["args"]
        options = [one for one in args if one.startswith(("--namespace=", "--lease-namespace="))]
        rights = [
            item for item in yaml.safe_load_all(built) if item["kind"] not in {"Deployment", "Namespace"}
        ]
        for item in rights:
            if item["metadata"].get("namespace") == "imaging":
                item["metadata"]["namespace"] = namespace.name
        kubectl(admin, "apply", "-f", "-", text=yaml.safe_dump_all(rights))
        for verb, resource in RIGHTS:
            assert not may(admin, verb, resource, unbound.name), (verb, resource)
            assert not may(admin, verb, resource, ""), (verb, resource)
            assert may(admin, verb, resource, namespace.name) == ((verb, resource) != ("list", "secrets"))
        options = [one.replace("=imaging", f"=missing,{namespace.name}") for one in options]
        with start_operator(plane, tmp_path, *options) as child:
            make_zone(unbound)
            make_zone(namespace)
            namespace.until_ready(NAME)
            assert "status" not in unbound.get("DimseProxy", NAME)
            assert not unbound.made()
            assert 'namespace "missing"' in child.output, child.output
    finally:
        kubectl(admin, "apply", "-k", "k8s/rbac/looking")


def test_an_operator_that_looks_everywhere_works_where_it_is_bound_alone(
    plane: ControlPlane, unbound: Namespace, admin: Path, tmp_path: Path
) -> None:
    for verb, resource in (("get", "secrets"), ("patch", "pods"), ("patch", "deployments.apps")):
        assert not may(admin, verb, resource, unbound.name), (verb, resource)
        assert not may(admin, verb, resource, ""), (verb, resource)
    make_zone(unbound)
    with start_operator(plane, tmp_path):
        unbound.until(
            lambda: unbound.condition(NAME, "Ready")["reason"] == "Forbidden", "it says what it lacks"
        )
        assert "may not read Secret token in namespace" in unbound.status(NAME)["message"]
        assert not unbound.made()
        kubectl(admin, "apply", "--namespace", unbound.name, "-k", "k8s/rbac/zone")
        unbound.until_ready(NAME, timeout=120)


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
