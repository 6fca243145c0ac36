"""Policy for everything rendered: valid kinds, probes, limits, least privilege, narrow rights."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from kubernetes_validate.utils import latest_version, validate

from dimse_mesh.operator.names import STANDING, Component
from tests.support.manifests import LEAVES, SAMPLES, built, every_object, rendered, workloads

VERSION = latest_version()
FOREIGN = {"DimseProxy", "ScaledObject"}
"""Kinds that are no part of Kubernetes."""


@pytest.mark.parametrize("leaf", LEAVES)
def test_folder_builds_and_is_valid(leaf: str) -> None:
    for item in built(leaf):
        if item["kind"] not in FOREIGN:
            validate(item, VERSION, strict=True)


@pytest.mark.parametrize("sample", SAMPLES)
def test_rendered_sample_is_valid(sample: str) -> None:
    for item in rendered(sample):
        if item["kind"] not in FOREIGN:
            validate(item, VERSION, strict=True)


def pod_of(workload: dict[str, Any]) -> dict[str, Any]:
    pod = workload["spec"]["template"]["spec"]
    assert isinstance(pod, dict)
    return pod


def test_every_zone_has_a_deployment_per_service() -> None:
    """`full` has a delivery service, too."""
    for sample in SAMPLES:
        services = [
            item["metadata"]["labels"]["app.kubernetes.io/component"]
            for item in rendered(sample)
            if item["kind"] == "Deployment"
        ]
        assert set(services) == {
            component.value for component in (Component if sample == "full" else STANDING)
        }


def test_every_container_is_probed_limited_and_unprivileged() -> None:
    for workload in workloads():
        pod = pod_of(workload)
        name = workload["metadata"]["name"]
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        assert not any("hostPath" in volume for volume in pod.get("volumes", ())), name
        for container in pod["containers"]:
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert "memory" in container["resources"]["limits"], name
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert ":" in container["image"], name


def test_only_operator_and_prometheus_get_a_token_for_the_api_server() -> None:
    with_token = {
        workload["metadata"]["name"]
        for workload in workloads()
        if pod_of(workload).get("automountServiceAccountToken") is not False
    }
    assert with_token == {"dimse-mesh-operator", "prometheus"}
    (role,) = [item for item in built("observability") if item["kind"] == "ClusterRole"]
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]


def test_every_volume_of_configuration_is_read_only() -> None:
    for workload in workloads():
        pod = pod_of(workload)
        kinds = {volume["name"]: set(volume) - {"name"} for volume in pod["volumes"]}
        for container in pod["containers"]:
            for mount in container["volumeMounts"]:
                if kinds[mount["name"]] & {"configMap", "secret"}:
                    assert mount.get("readOnly") is True


def test_selectors_match_their_pods() -> None:
    for workload in workloads():
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()
    for sample in SAMPLES:
        pods = [
            (item["metadata"].get("namespace"), item["spec"]["template"])
            for item in rendered(sample)
            if item["kind"] == "Deployment"
        ]
        for item in rendered(sample):
            selector = {
                "Service": lambda spec: spec["selector"],
                "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
                "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            }.get(item["kind"])
            if selector:
                wanted = selector(item["spec"]).items()
                found = [
                    template
                    for namespace, template in pods
                    if namespace == item["metadata"].get("namespace")
                    and wanted <= template["metadata"]["labels"].items()
                ]
                assert len(found) == 1, item["metadata"]["name"]


def test_service_ports_lead_to_container_ports() -> None:
    for sample in SAMPLES:
        objects = rendered(sample)
        for service in (item for item in objects if item["kind"] == "Service"):
            for deployment in (item for item in objects if item["kind"] == "Deployment"):
                template = deployment["spec"]["template"]
                if service["spec"]["selector"].items() <= template["metadata"]["labels"].items():
                    names = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
                    assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


def rules_of(name: str) -> list[dict[str, Any]]:
    (role,) = [
        item for item in built("rbac") if item["kind"] == "ClusterRole" and item["metadata"]["name"] == name
    ]
    rules = role["rules"]
    assert isinstance(rules, list)
    return rules


def test_rights_hold_no_wildcard_and_secrets_can_only_be_read_by_name() -> None:
    roles = [item for item in every_object() if item["kind"] in {"Role", "ClusterRole"}]
    assert roles
    for role in roles:
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])
            assert not {"pods/exec", "pods/proxy", "roles", "clusterroles"} & set(rule["resources"])
            if "secrets" in rule["resources"]:
                assert rule["verbs"] == ["get"]


def bound_in_the_cluster(leaf: str) -> set[str]:
    return {item["roleRef"]["name"] for item in built(leaf) if item["kind"] == "ClusterRoleBinding"}


@pytest.mark.parametrize("leaf", ["operator", "rbac", "rbac/zone", "overlays/prod", "overlays/namespaced"])
def test_nothing_is_bound_in_the_whole_cluster_unless_somebody_chooses_that(leaf: str) -> None:
    assert bound_in_the_cluster(leaf) == set()


def test_for_production_every_watched_namespace_binds_both_roles() -> None:
    objects = built("overlays/prod")
    bound = {
        (item["metadata"]["namespace"], item["roleRef"]["name"])
        for item in objects
        if item["kind"] == "RoleBinding" and item["roleRef"]["kind"] == "ClusterRole"
    }
    (operator,) = [item for item in objects if item["kind"] == "Deployment"]
    (watched,) = [one for one in pod_of(operator)["containers"][0]["args"] if one.startswith("--namespace=")]
    names = watched.partition("=")[2].split(",")
    assert bound == {
        (name, role) for name in names for role in ("dimse-mesh-operator", "dimse-mesh-operator-zone")
    }
    for item in objects:
        for subject in item.get("subjects", ()):
            assert subject["namespace"] == operator["metadata"]["namespace"], item["metadata"]["name"]


@pytest.mark.parametrize("leaf", ["overlays/dev", "overlays/bound"])
def test_an_operator_that_watches_every_namespace_may_look_there_and_no_more(leaf: str) -> None:
    assert bound_in_the_cluster(leaf) == {"dimse-mesh-operator"}
    for rule in rules_of("dimse-mesh-operator"):
        assert "secrets" not in rule["resources"]
        looking = {"patch"} if rule["resources"] == ["dimseproxies/status"] else {"list", "watch"}
        assert set(rule["verbs"]) == looking
    assert bound_in_the_cluster("overlays/everywhere") == {"dimse-mesh-operator", "dimse-mesh-operator-zone"}


def test_operator_may_apply_and_delete_every_kind_that_it_makes() -> None:
    kinds = {(item["apiVersion"], item["kind"]) for sample in SAMPLES for item in rendered(sample)}
    allowed = defaultdict[tuple[str, str], set[str]](set)
    for rule in (*rules_of("dimse-mesh-operator"), *rules_of("dimse-mesh-operator-zone")):
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                allowed[group, resource] |= set(rule["verbs"])
    for version, kind in kinds:
        group = version.rpartition("/")[0]
        plural = "networkpolicies" if kind == "NetworkPolicy" else f"{kind.lower()}s"
        assert {"list", "watch", "create", "patch", "delete"} <= allowed[group, plural], kind


def test_dev_overlay_is_two_zones_that_reach_each_other() -> None:
    objects = built("overlays/dev")
    zones = {item["metadata"]["namespace"]: item["spec"] for item in objects if item["kind"] == "DimseProxy"}
    assert {spec["natsSubjectChannel"] for spec in zones.values()} == {"A", "B"}
    services = {
        f"{item['metadata']['name']}.{item['metadata']['namespace']}.svc": item["spec"]["ports"]
        for item in objects
        if item["kind"] == "Service"
    }
    for spec in zones.values():
        host, _, port = spec["natsUrl"].partition(":")
        assert int(port) in [one["port"] for one in services[host]]
        assert spec["targetDimsePort"] in [one["port"] for one in services[spec["targetDimseHost"]]]


def test_prod_overlay_uses_one_image_for_operator_and_services() -> None:
    (operator,) = [item for item in built("overlays/prod") if item["kind"] == "Deployment"]
    container = pod_of(operator)["containers"][0]
    images = {item["name"]: item.get("value") for item in container["env"]}
    assert images["PROXY_IMAGE"] == container["image"] != "dimse-mesh:latest"
