"""The operator against an HTTP API: kopf's own watching, our applying, statuses that say what is wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dimse_mesh.operator.names import Component
from dimse_mesh.operator.render import resources_in
from tests.support.kube import Cluster, api_server, operator, write_kubeconfig

pytestmark = pytest.mark.anyio

ORIGINAL: dict[str, Any] = resources_in(Path("k8s/samples/original.yaml"))[0]["spec"]
ROLES = yaml.safe_load_all(Path("k8s/rbac/operator.yaml").read_text())
ALLOWED = {
    (verb, group, resource)
    for role in ROLES
    for rule in role.get("rules", ())
    for verb in rule["verbs"]
    for group in rule["apiGroups"]
    for resource in rule["resources"]
}
"""What the operator's ClusterRole grants."""
NAME = "archive-proxy"
DEPLOYMENTS = {f"{NAME}-{component.value}" for component in Component}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    async with api_server() as cluster:
        write_kubeconfig(tmp_path / "kubeconfig", cluster)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield cluster


async def test_create_makes_everything_and_reports_ready(cluster: Cluster) -> None:
    async with operator():
        uid = await cluster.create("DimseProxy", NAME, spec=ORIGINAL)
        await cluster.until(lambda: cluster.names("Deployment") == DEPLOYMENTS, "five Deployments")
        await cluster.until(lambda: cluster.status(NAME)["phase"] == "Progressing", "progress")
        assert cluster.names("Service") == {NAME}
        for kind, item in cluster.all():
            if kind != "DimseProxy":
                (owner,) = item["metadata"]["ownerReferences"]
                assert (owner["uid"], owner["controller"]) == (uid, True)
        await cluster.roll_out(NAME)
        await cluster.until(lambda: cluster.condition(NAME, "Ready")["status"] == "True", "Ready")
    status = cluster.status(NAME)
    assert status["observedGeneration"] == 1
    assert status["ready"] is True
    assert status["services"]["scu"] == {"desired": 1, "ready": 1, "updated": 1}
    assert status["secondaryResources"]["Service"] == [NAME]
    metadata = cluster.raw("DimseProxy", NAME)["metadata"]
    assert "finalizers" not in metadata
    assert "annotations" not in metadata


async def test_a_cluster_without_keda_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with api_server(frozenset({"keda.sh"})) as cluster:
        write_kubeconfig(tmp_path / "kubeconfig", cluster)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        async with operator():
            await cluster.create("DimseProxy", NAME, spec=ORIGINAL)
            await cluster.until(lambda: cluster.names("Deployment") == DEPLOYMENTS, "five Deployments")
            await cluster.roll_out(NAME)
            await cluster.until(lambda: cluster.condition(NAME, "Ready")["status"] == "True", "Ready")


async def test_change_reaches_the_objects_and_the_status(cluster: Cluster) -> None:
    async with operator():
        await cluster.create("DimseProxy", NAME, spec=ORIGINAL)
        await cluster.until(lambda: cluster.names("Deployment") == DEPLOYMENTS, "five Deployments")
        before = cluster.raw("Deployment", f"{NAME}-scu")["spec"]["template"]["metadata"]["annotations"]
        await cluster.patch("DimseProxy", NAME, {"spec": {"targetDimsePort": 104}})
        await cluster.until(
            lambda: "port: 104\n" in cluster.raw("ConfigMap", f"{NAME}-scu")["data"]["zone.yaml"],
            "the new port",
        )
        await cluster.until(lambda: cluster.status(NAME)["observedGeneration"] == 2, "generation 2")
    after = cluster.raw("Deployment", f"{NAME}-scu")["spec"]["template"]["metadata"]["annotations"]
    assert before != after


async def test_what_is_no_longer_wanted_is_deleted(cluster: Cluster) -> None:
    scaled = {**ORIGINAL, "services": {"store": {"autoscaling": {"minReplicas": 2}}}}
    async with operator():
        await cluster.create("DimseProxy", NAME, spec=scaled)
        await cluster.until(lambda: bool(cluster.names("HorizontalPodAutoscaler")), "an autoscaler")
        await cluster.patch(
            "DimseProxy", NAME, {"spec": {"services": None, "networkPolicy": {"enabled": False}}}
        )
        await cluster.until(lambda: not cluster.names("HorizontalPodAutoscaler"), "no autoscaler")
        await cluster.until(lambda: not cluster.names("NetworkPolicy"), "no NetworkPolicy")
        assert cluster.names("Deployment") == DEPLOYMENTS


async def test_autoscaler_takes_over_without_a_dip_in_replicas(cluster: Cluster) -> None:
    store = f"{NAME}-store"
    async with operator():
        await cluster.create("DimseProxy", NAME, spec={**ORIGINAL, "services": {"store": {"replicas": 4}}})
        await cluster.until(lambda: cluster.raw("Deployment", store)["spec"]["replicas"] == 4, "4 replicas")
        await cluster.patch("DimseProxy", NAME, {"spec": {"services": {"store": {"autoscaling": {}}}}})
        await cluster.until(lambda: bool(cluster.names("HorizontalPodAutoscaler")), "an autoscaler")
    history = [
        version["spec"]["replicas"]
        for key, item in cluster.server.objects.items()
        if key[2] == store and key[0].plural == "deployments"
        for version in item.history
        if version is not None
    ]
    assert set(history) == {4}


async def test_delete_ends_the_work_and_leaves_nothing(cluster: Cluster) -> None:
    async with operator():
        await cluster.create("DimseProxy", NAME, spec=ORIGINAL)
        await cluster.until(lambda: cluster.names("Deployment") == DEPLOYMENTS, "five Deployments")
        await cluster.delete("DimseProxy", NAME)
        await cluster.until(lambda: not list(cluster.all()), "nothing left")
        # The same name again is a new resource.
        await cluster.create("DimseProxy", NAME, spec=ORIGINAL)
        await cluster.until(lambda: cluster.names("Deployment") == DEPLOYMENTS, "five Deployments again")


async def test_resume_after_restart_changes_nothing_and_catches_up(cluster: Cluster) -> None:
    async with operator():
        await cluster.create("DimseProxy", NAME, spec=ORIGINAL)
        await cluster.until(lambda: cluster.names("Deployment") == DEPLOYMENTS, "five Deployments")
        await cluster.until(lambda: "phase" in cluster.status(NAME), "a status")
    generations = {
        item["metadata"]["name"]: item["metadata"]["generation"]
        for kind, item in cluster.all()
        if kind == "Deployment"
    }
    await cluster.patch("DimseProxy", NAME, {"spec": {"services": {"scu": {"replicas": 3}}}})
    async with operator():
        await cluster.until(
            lambda: cluster.raw("Deployment", f"{NAME}-scu")["spec"]["replicas"] == 3, "3 executors"
        )
        await cluster.until(lambda: cluster.status(NAME)["observedGeneration"] == 2, "generation 2")
    for name, generation in generations.items():
        expected = generation + (name == f"{NAME}-scu")
        assert cluster.raw("Deployment", name)["metadata"]["generation"] == expected


async def test_what_somebody_else_breaks_is_mended(cluster: Cluster) -> None:
    async with operator():
        await cluster.create("DimseProxy", NAME, spec=ORIGINAL)
        await cluster.until(lambda: cluster.names("Deployment") == DEPLOYMENTS, "five Deployments")
        await cluster.delete("Deployment", f"{NAME}-store")
        await cluster.until(lambda: cluster.names("Deployment") == DEPLOYMENTS, "it is back")
        await cluster.patch("Deployment", f"{NAME}-scu", {"spec": {"replicas": 9}})
        await cluster.until(
            lambda: cluster.raw("Deployment", f"{NAME}-scu")["spec"]["replicas"] == 1, "1 executor"
        )


async def test_missing_secret_and_missing_key_are_named_until_they_come(cluster: Cluster) -> None:
    async with operator():
        await cluster.create("DimseProxy", NAME, spec={**ORIGINAL, "natsTokenSecret": "mesh-token"})
        await cluster.until(lambda: cluster.status(NAME)["phase"] == "Degraded", "Degraded")
        assert cluster.condition(NAME, "Degraded")["reason"] == "SecretMissing"
        expected = "spec.natsTokenSecret: there is no Secret mesh-token in namespace imaging"
        assert cluster.status(NAME)["message"] == expected

        await cluster.create("Secret", "mesh-token", data={"password": "c2VjcmV0"})
        await cluster.until(lambda: "has no key token" in cluster.status(NAME)["message"], "the key is named")

        before = cluster.raw("Deployment", f"{NAME}-store")["spec"]["template"]["metadata"]["annotations"]
        await cluster.patch("Secret", "mesh-token", {"data": {"token": "c2VjcmV0"}})
        await cluster.until(lambda: cluster.status(NAME)["phase"] == "Progressing", "Progressing")
        await cluster.until(
            lambda: (
                cluster.raw("Deployment", f"{NAME}-store")["spec"]["template"]["metadata"]["annotations"]
                != before
            ),
            "a roll-out",
        )
    assert "c2VjcmV0" not in str([item for kind, item in cluster.all() if kind != "Secret"])


async def test_invalid_spec_is_named_and_what_runs_goes_on(cluster: Cluster) -> None:
    async with operator():
        await cluster.create("DimseProxy", NAME, spec=ORIGINAL)
        await cluster.until(lambda: cluster.names("Deployment") == DEPLOYMENTS, "five Deployments")
        await cluster.patch("DimseProxy", NAME, {"spec": {"natsUrl": "tls://nats:443"}})
        await cluster.until(lambda: cluster.status(NAME)["phase"] == "Invalid", "Invalid")
        status = cluster.status(NAME)
        assert status["message"].startswith("spec.natsUrl: ")
        assert status["observedGeneration"] == 2
        assert cluster.condition(NAME, "Ready")["reason"] == "InvalidSpec"
        assert cluster.names("Deployment") == DEPLOYMENTS
        await cluster.patch("DimseProxy", NAME, {"spec": {"natsUrl": "nats:443"}})
        await cluster.until(lambda: cluster.status(NAME)["phase"] == "Progressing", "valid again")


async def test_somebody_elses_object_is_left_alone_and_named(cluster: Cluster) -> None:
    await cluster.create("Service", NAME, spec={"selector": {"app": "other"}})
    async with operator():
        await cluster.create("DimseProxy", NAME, spec=ORIGINAL)
        await cluster.until(
            lambda: cluster.condition(NAME, "Degraded").get("reason") == "Conflict", "Conflict"
        )
        assert f"Service {NAME} exists" in cluster.status(NAME)["message"]
        assert cluster.raw("Service", NAME)["spec"] == {"selector": {"app": "other"}}
        await cluster.delete("Service", NAME)
        await cluster.until(lambda: cluster.condition(NAME, "Degraded")["status"] == "False", "solved")
        assert cluster.raw("Service", NAME)["spec"]["ports"][0]["port"] == 11112


@pytest.mark.parametrize("status", [409, 500])
async def test_refused_apply_is_tried_again(cluster: Cluster, status: int) -> None:
    cluster.server.refusals.append(("deployments", f"{NAME}-store", status))
    async with operator():
        await cluster.create("DimseProxy", NAME, spec=ORIGINAL)
        await cluster.until(lambda: cluster.names("Deployment") == DEPLOYMENTS, "five Deployments")
    assert cluster.server.refusals == []


async def test_operator_asks_for_nothing_that_its_role_does_not_allow(cluster: Cluster) -> None:
    spec = {
        **ORIGINAL,
        "natsTokenSecret": "t",
        "services": {"scu": {"replicas": 2}, "store": {"autoscaling": {}}},
    }
    labels = pod("scu.1")["metadata"]
    async with operator():
        await cluster.create("Secret", "t", data={"token": "eA=="})
        await cluster.create("DimseProxy", NAME, spec=spec)
        await cluster.create("Pod", "scu.1", metadata=labels, spec={"containers": []}, status={})
        await cluster.until(lambda: bool(cluster.names("HorizontalPodAutoscaler")), "an autoscaler")
        await cluster.patch("DimseProxy", NAME, {"spec": {"services": {"store": None}}})
        await cluster.until(lambda: not cluster.names("HorizontalPodAutoscaler"), "no autoscaler")
        await cluster.until(lambda: cluster.status(NAME)["observedGeneration"] == 2, "a status")
    assert cluster.server.asked - ALLOWED == set()
    assert ("get", "", "secrets") in cluster.server.asked
    assert ("patch", "imaging-ingestion.alvearie.org", "dimseproxies/status") in cluster.server.asked


async def test_two_resources_in_one_namespace_keep_apart(cluster: Cluster) -> None:
    async with operator():
        await cluster.create("DimseProxy", "one", spec=ORIGINAL)
        await cluster.create("DimseProxy", "one-store", spec={**ORIGINAL, "natsSubjectChannel": "B"})
        await cluster.until(lambda: len(cluster.names("Deployment")) == 10, "ten Deployments")
        await cluster.delete("DimseProxy", "one")
        await cluster.until(lambda: len(cluster.names("Deployment")) == 5, "five left")
        assert all(name.startswith("one-store-") for name in cluster.names("Deployment"))


def pod(name: str, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "labels": {
                "app.kubernetes.io/name": "dimse-mesh",
                "app.kubernetes.io/instance": NAME,
                "app.kubernetes.io/managed-by": "dimse-mesh-operator",
                "app.kubernetes.io/component": name.partition(".")[0],
            }
        },
        "spec": {"containers": [{"name": "x", "ports": [{"name": "http", "containerPort": 1}]}]},
        "status": status,
    }


async def test_last_words_of_a_container_reach_the_conditions(cluster: Cluster) -> None:
    words = "NATS nats://nats:4222: authorization violation (wrong token, user, password or key)"
    ended = {
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"message": words}},
    }
    async with operator():
        await cluster.create("DimseProxy", NAME, spec=ORIGINAL)
        await cluster.create("Pod", "store.1", **pod("store.1", phase="Running", containerStatuses=[ended]))
        await cluster.until(
            lambda: cluster.condition(NAME, "NatsConnected").get("status") == "False", "no NATS"
        )
    assert cluster.condition(NAME, "NatsConnected")["message"] == words
    assert cluster.status(NAME)["message"] == f"store: {words}"
    assert cluster.condition(NAME, "Ready")["status"] == "False"
