"""The operator asks real services: their health, their open associations, whether their targets answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import time

from dimse_mesh.operator.names import Component
from dimse_mesh.operator.reconcile import COST_ANNOTATION
from tests.support import dcmtk
from tests.support.kube import Cluster, api_server, operator, write_kubeconfig
from tests.support.kubelet import Started, start
from tests.support.nats import nats_server
from tests.support.ports import reserve_port
from tests.support.process import wait_until

pytestmark = pytest.mark.anyio
NAME = "zone"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    async with api_server() as cluster:
        write_kubeconfig(tmp_path / "kubeconfig", cluster)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield cluster


async def add_pod(cluster: Cluster, component: Component, name: str, started: Started) -> None:
    labels = {
        "app.kubernetes.io/name": "dimse-mesh",
        "app.kubernetes.io/instance": NAME,
        "app.kubernetes.io/managed-by": "dimse-mesh-operator",
        "app.kubernetes.io/component": component.value,
    }
    ports = [{"name": "http", "containerPort": started.health}]
    await cluster.create(
        "Pod",
        name,
        metadata={"labels": labels},
        spec={"containers": [{"name": component.value, "ports": ports}]},
        status={
            "phase": "Running",
            "podIP": "127.0.0.1",
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    )


def listener_of(started: Started) -> int:
    line = started.child.wait_for_line(r"listening on 127\.0\.0\.1 port \d+")
    return int(line.rpartition("port ")[2].strip('"} '))


async def test_targets_and_associations_reach_status_and_pods(cluster: Cluster, tmp_path: Path) -> None:
    target_port = reserve_port()
    with nats_server(tmp_path / "nats") as nats:
        spec: dict[str, Any] = {
            "natsUrl": f"127.0.0.1:{nats.port}",
            "applicationEntityTitle": "PACS",
            "targetDimseHost": "127.0.0.1",
            "targetDimsePort": target_port,
            "peerChannel": "A",
        }
        wanted = [Component.SCU, Component.ASSOCIATION, Component.ASSOCIATION]
        pods = {
            f"{component.value}-{index}": start(tmp_path / str(index), spec, component, {})
            for index, component in enumerate(wanted)
        }
        try:
            for name, started in pods.items():
                wait_until(lambda one=started: one.readyz()[0] == 200, f"{name} is ready", timeout=30)  # type: ignore[misc]  # mypy #2452
            busy, idle = listener_of(pods["association-1"]), listener_of(pods["association-2"])
            async with operator():
                await cluster.create("DimseProxy", NAME, spec=spec)
                for component, (name, started) in zip(wanted, pods.items(), strict=True):
                    await add_pod(cluster, component, name, started)
                await cluster.until(lambda: len(cluster.names("Deployment")) == 5, "five Deployments")
                await cluster.roll_out(NAME)
                await cluster.until(
                    lambda: cluster.condition(NAME, "TargetReachable")["reason"] == "NotAsked", "not asked"
                )
                assert cluster.condition(NAME, "NatsConnected")["status"] == "True"

                # Nobody listens at the target.
                refused = await anyio.to_thread.run_sync(lambda: dcmtk.echoscu(busy, called="PACS"))
                assert refused.code != 0
                await cluster.until(
                    lambda: cluster.condition(NAME, "TargetReachable")["status"] == "False", "no answer"
                )
                assert "PACS (unreachable)" in cluster.status(NAME)["message"]

                # It comes up; an association stays open at one of the two front-ends.
                target, _ = await anyio.to_thread.run_sync(
                    lambda: dcmtk.storescp(tmp_path / "received", port=target_port)
                )
                try:
                    client = AE()
                    client.add_requested_context(Verification)
                    association = await anyio.to_thread.run_sync(
                        lambda: client.associate("127.0.0.1", busy, ae_title="PACS")
                    )
                    assert association.is_established
                    await cluster.until(
                        lambda: cluster.condition(NAME, "TargetReachable")["status"] == "True", "it answers"
                    )
                    await cluster.until(lambda: cluster.status(NAME)["associations"] == 1, "one association")
                    await cluster.until(
                        lambda: cost(cluster, "association-1") == "1", "the busy pod costs more"
                    )
                    assert cost(cluster, "association-2") is None
                    assert cluster.status(NAME)["phase"] == "Ready"
                    await anyio.to_thread.run_sync(association.release)
                    await cluster.until(lambda: cost(cluster, "association-1") == "0", "nobody left")
                finally:
                    target.stop()
            assert idle != busy
        finally:
            for started in pods.values():
                started.child.stop()


def cost(cluster: Cluster, pod: str) -> str | None:
    annotations: dict[str, str] = cluster.raw("Pod", pod)["metadata"].get("annotations", {})
    return annotations.get(COST_ANNOTATION)
