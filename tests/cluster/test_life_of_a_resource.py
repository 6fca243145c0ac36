"""A DimseProxy on a real API server: from nothing to Ready, through changes, and back to nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dimse_mesh.operator.names import STANDING
from tests.support.cluster.api import Namespace

pytestmark = pytest.mark.usefixtures("operator")

ORIGINAL: dict[str, Any] = yaml.safe_load(Path("k8s/samples/original.yaml").read_text())["spec"]
NAME = "archive-proxy"
DEPLOYMENTS = {f"{NAME}-{component.value}" for component in STANDING}


def template(namespace: Namespace, service: str) -> dict[str, Any]:
    found: dict[str, Any] = namespace.get("Deployment", f"{NAME}-{service}")["spec"]["template"]
    return found


def test_create_makes_everything_and_delete_leaves_nothing(namespace: Namespace) -> None:
    created = namespace.create("DimseProxy", NAME, spec=ORIGINAL)
    namespace.until_ready(NAME)
    assert namespace.names("Deployment") == DEPLOYMENTS
    assert namespace.names("Service") == {NAME}
    for kind, name in namespace.made():
        (owner,) = namespace.get(kind, name)["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == (created["metadata"]["uid"], True)
    item = namespace.get("DimseProxy", NAME)
    assert "finalizers" not in item["metadata"]
    assert "annotations" not in item["metadata"]
    status = item["status"]
    assert status["observedGeneration"] == 1
    assert status["ready"] is True
    assert status["services"]["scu"] == {"desired": 1, "ready": 1, "updated": 1, "available": 1}
    assert status["secondaryResources"]["Service"] == [NAME]
    namespace.delete("DimseProxy", NAME)
    namespace.until(lambda: not namespace.made(), "nothing left")
    namespace.until(lambda: not namespace.names("Pod"), "no pod left")
    # The same name again is a new resource.
    namespace.create("DimseProxy", NAME, spec=ORIGINAL)
    namespace.until_ready(NAME)


def test_wait_for_ready_is_true_when_it_returns(namespace: Namespace, admin: Path) -> None:
    """Also right after a change, when the old pods are still all well."""
    namespace.create("DimseProxy", NAME, spec=ORIGINAL)
    for port in (104, 105, 106):
        namespace.patch("DimseProxy", NAME, {"spec": {"targetDimsePort": port}})
        wait = ["kubectl", "--kubeconfig", str(admin), "wait", "--namespace", namespace.name]
        wait += ["--for=condition=Ready", f"dimseproxy/{NAME}", "--timeout=60s"]
        done = subprocess.run(wait, capture_output=True, text=True, check=False, timeout=90)
        assert done.returncode == 0, done.stderr
        assert f"port: {port}\n" in namespace.get("ConfigMap", f"{NAME}-scu")["data"]["zone.yaml"]
        for name in DEPLOYMENTS:
            item = namespace.get("Deployment", name)
            status = item["status"]
            assert status["observedGeneration"] == item["metadata"]["generation"]
            counts = [status.get(one) for one in ("replicas", "updatedReplicas", "availableReplicas")]
            assert counts == [1, 1, 1]


def test_an_image_that_does_not_exist_never_shows_ready(namespace: Namespace) -> None:
    namespace.create("DimseProxy", NAME, spec=ORIGINAL)
    namespace.until_ready(NAME)
    namespace.patch("DimseProxy", NAME, {"spec": {"proxy": {"image": "registry.example.org/mesh:missing"}}})
    namespace.until(lambda: namespace.condition(NAME, "Ready")["reason"] == "PodsFailing", "it is named")
    condition = namespace.condition(NAME, "Ready")
    assert condition["status"] == "False"
    assert "ImagePullBackOff: there is no image registry.example.org/mesh:missing" in condition["message"]
    assert namespace.condition(NAME, "Progressing")["reason"] == "Stalled"
    # The old pods serve on.
    for name in DEPLOYMENTS:
        assert namespace.get("Deployment", name)["status"]["availableReplicas"] == 1
    namespace.patch("DimseProxy", NAME, {"spec": {"proxy": {"image": "registry.example.org/mesh:1"}}})
    namespace.until_ready(NAME)


def test_progressing_is_true_while_pods_start(namespace: Namespace) -> None:
    hang = {"test.example.org/behaviour": "hang"}
    spec = {**ORIGINAL, "services": {"store": {"podAnnotations": hang}}}
    namespace.create("DimseProxy", NAME, spec=spec)
    namespace.until(
        lambda: namespace.status(NAME)["message"] == "waiting for store 0/1", "only store is awaited"
    )
    assert namespace.condition(NAME, "Progressing")["status"] == "True"
    assert namespace.condition(NAME, "Ready")["status"] == "False"
    namespace.patch("DimseProxy", NAME, {"spec": {"services": None}})
    namespace.until_ready(NAME)
    assert namespace.condition(NAME, "Progressing")["status"] == "False"


def test_a_change_rolls_only_what_it_concerns(namespace: Namespace) -> None:
    namespace.create("DimseProxy", NAME, spec=ORIGINAL)
    namespace.until_ready(NAME)
    before = {name: namespace.get("Deployment", name)["metadata"]["generation"] for name in DEPLOYMENTS}
    namespace.patch("DimseProxy", NAME, {"spec": {"targetDimsePort": 104}})
    namespace.until_ready(NAME)
    after = {name: namespace.get("Deployment", name)["metadata"]["generation"] for name in DEPLOYMENTS}
    assert {name for name in DEPLOYMENTS if before[name] != after[name]} == {f"{NAME}-scu"}


def test_kinds_that_are_no_longer_wanted_leave_cluster_and_status(namespace: Namespace) -> None:
    scaled = {**ORIGINAL, "services": {"store": {"autoscaling": {"minReplicas": 2}}}}
    namespace.create("DimseProxy", NAME, spec=scaled)
    namespace.until(
        lambda: namespace.status(NAME)["secondaryResources"]["HorizontalPodAutoscaler"] == [f"{NAME}-store"],
        "an autoscaler in the status",
    )
    namespace.patch("DimseProxy", NAME, {"spec": {"services": None, "networkPolicy": {"enabled": False}}})
    namespace.until(lambda: not namespace.names("HorizontalPodAutoscaler"), "no autoscaler")
    namespace.until(lambda: not namespace.names("NetworkPolicy"), "no NetworkPolicy")
    namespace.until_ready(NAME)
    expected = {"ConfigMap", "Deployment", "PodDisruptionBudget", "Service"}
    assert set(namespace.status(NAME)["secondaryResources"]) == expected


def test_an_autoscaler_takes_over_without_a_dip_in_replicas(namespace: Namespace) -> None:
    store = f"{NAME}-store"
    namespace.create("DimseProxy", NAME, spec={**ORIGINAL, "services": {"store": {"replicas": 4}}})
    namespace.until_ready(NAME)
    namespace.patch(
        "DimseProxy", NAME, {"spec": {"services": {"store": {"autoscaling": {"minReplicas": 1}}}}}
    )
    namespace.until(lambda: namespace.names("HorizontalPodAutoscaler"), "an autoscaler")
    namespace.until_ready(NAME)
    assert namespace.get("Deployment", store)["spec"]["replicas"] == 4
    # What the autoscaler sets from now on is left alone.
    namespace.patch("Deployment", store, {"spec": {"replicas": 2}})
    namespace.until(
        lambda: namespace.status(NAME)["services"]["store"]["desired"] == 2, "it is seen, and left alone"
    )
    namespace.until_ready(NAME)
    assert namespace.get("Deployment", store)["spec"]["replicas"] == 2


def test_no_replicas_is_not_ready(namespace: Namespace) -> None:
    namespace.create("DimseProxy", NAME, spec={**ORIGINAL, "services": {"nService": {"replicas": 0}}})
    namespace.until(lambda: namespace.condition(NAME, "Ready")["reason"] == "ScaledToZero", "it is said")
    assert namespace.condition(NAME, "Ready")["status"] == "False"
    assert namespace.status(NAME)["message"] == "no pods are wanted for n-service"


def test_two_resources_of_similar_names_keep_apart(namespace: Namespace) -> None:
    namespace.create("DimseProxy", "one", spec=ORIGINAL)
    namespace.create("DimseProxy", "one-store", spec={**ORIGINAL, "natsSubjectChannel": "B"})
    namespace.until_ready("one")
    namespace.until_ready("one-store")
    namespace.delete("DimseProxy", "one")
    namespace.until(lambda: len(namespace.names("Deployment")) == 5, "five Deployments left")
    assert all(name.startswith("one-store-") for name in namespace.names("Deployment"))
    namespace.until_ready("one-store")


def test_long_names_are_served(namespace: Namespace) -> None:
    name = "a-zone-with-a-name-that-is-as-long-as-the-schema-allows-it-maybe-longer"
    namespace.create("DimseProxy", name, spec=ORIGINAL)
    namespace.until_ready(name)


def test_events_tell_the_history(namespace: Namespace) -> None:
    namespace.create("DimseProxy", NAME, spec=ORIGINAL)
    namespace.until_ready(NAME)
    namespace.patch("DimseProxy", NAME, {"spec": {"targetDimsePort": 104}})

    def told() -> set[str]:
        events = namespace.api.list("Event", namespace=namespace.name)
        return {event["reason"] for event in events if event["involvedObject"]["kind"] == "DimseProxy"}

    namespace.until(lambda: {"Created", "Changed", "Ready"} <= told(), "three events")


def test_a_paused_resource_is_left_alone(namespace: Namespace) -> None:
    paused = {"imaging-ingestion.alvearie.org/paused": "true"}
    namespace.create("DimseProxy", NAME, spec=ORIGINAL)
    namespace.until_ready(NAME)
    namespace.patch("DimseProxy", NAME, {"metadata": {"annotations": paused}})
    namespace.until(lambda: namespace.condition(NAME, "Progressing")["reason"] == "Paused", "paused")
    namespace.patch("DimseProxy", NAME, {"spec": {"targetDimsePort": 104}})
    namespace.delete("Service", NAME)
    namespace.until(
        lambda: namespace.condition(NAME, "Progressing")["observedGeneration"] == 2, "the change was seen"
    )
    assert namespace.condition(NAME, "Ready")["observedGeneration"] == 1
    assert namespace.names("Service") == set()
    assert "port: 104\n" not in namespace.get("ConfigMap", f"{NAME}-scu")["data"]["zone.yaml"]
    annotations = {"imaging-ingestion.alvearie.org/paused": None}
    namespace.patch("DimseProxy", NAME, {"metadata": {"annotations": annotations}})
    namespace.until(lambda: namespace.names("Service") == {NAME}, "it goes on")
    namespace.until_ready(NAME)
    assert "port: 104\n" in namespace.get("ConfigMap", f"{NAME}-scu")["data"]["zone.yaml"]
