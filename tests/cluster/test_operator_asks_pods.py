"""The operator asks real services: their health, their associations, their targets, and what waits for those."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import time

from dimse_mesh.operator.names import Component
from dimse_mesh.operator.reconcile import COST_ANNOTATION
from tests.support import dcmtk
from tests.support.cluster.api import Namespace
from tests.support.cluster.control_plane import ControlPlane
from tests.support.cluster.operator import start_operator
from tests.support.files import synthetic, write_file
from tests.support.kubelet import Started, start
from tests.support.nats import nats_server
from tests.support.ports import reserve_port
from tests.support.process import wait_until
from tests.support.pynet import entity

NAME = "zone"


@pytest.fixture(autouse=True)
def operator(plane: ControlPlane, tmp_path: Path) -> Iterator[None]:
    """An operator that asks often."""
    with start_operator(plane, tmp_path / "operator", "--round", "0.5"):
        yield


def add_pod(namespace: Namespace, component: Component, name: str, started: Started) -> None:
    """Add a pod beside those of the Deployment: a real process on this machine."""
    labels = {
        "app.kubernetes.io/name": "dimse-mesh",
        "app.kubernetes.io/instance": NAME,
        "app.kubernetes.io/managed-by": "dimse-mesh-operator",
        "app.kubernetes.io/component": component.value,
    }
    ports = [{"name": "http", "containerPort": started.health}]
    containers = [{"name": component.value, "image": "none:1", "ports": ports}]
    namespace.create(
        "Pod", name, metadata={"labels": labels}, spec={"containers": containers, "nodeName": "this-machine"}
    )
    conditions = [{"type": "Ready", "status": "True"}]
    status = {"phase": "Running", "podIP": "127.0.0.1", "conditions": conditions}
    status |= {"podIPs": [{"ip": "127.0.0.1"}]}
    namespace.patch("Pod", name, {"status": status}, "status")


def listener_of(started: Started) -> int:
    line = started.child.wait_for_line(r"listening on 127\.0\.0\.1 port \d+")
    return int(line.rpartition("port ")[2].strip('"} '))


def test_targets_and_associations_reach_status_and_pods(namespace: Namespace, tmp_path: Path) -> None:
    target_port = reserve_port()
    with nats_server(tmp_path / "nats") as nats:
        spec: dict[str, Any] = {
            "natsUrl": f"127.0.0.1:{nats.port}",
            "applicationEntityTitle": "PACS",
            "targetDimseHost": "127.0.0.1",
            "targetDimsePort": target_port,
            "peerChannel": "A",
            "services": {"association": {"replicas": 2}},
        }
        wanted = [Component.SCU, Component.ASSOCIATION, Component.ASSOCIATION]
        pods = {
            f"{component.value}-{index}": start(tmp_path / str(index), spec, component, {})
            for index, component in enumerate(wanted)
        }
        try:
            for name, started in pods.items():
                wait_until(lambda one=started: one.readyz()[0] == 200, f"{name} is ready", timeout=60)  # type: ignore[misc]  # mypy #2452
            busy = listener_of(pods["association-1"])
            namespace.create("DimseProxy", NAME, spec=spec)
            for component, (name, started) in zip(wanted, pods.items(), strict=True):
                add_pod(namespace, component, name, started)
            namespace.until_ready(NAME)
            assert namespace.condition(NAME, "TargetReachable")["reason"] == "NotAsked"
            assert namespace.condition(NAME, "NatsConnected")["status"] == "True"

            # Nobody listens at the target.
            refused = dcmtk.echoscu(busy, called="PACS")
            assert refused.code != 0
            namespace.until(
                lambda: namespace.condition(NAME, "TargetReachable")["status"] == "False", "no answer"
            )
            assert "PACS (unreachable)" in namespace.status(NAME)["message"]

            # It comes up; an association stays open at one of the two front-ends.
            target, _ = dcmtk.storescp(tmp_path / "received", port=target_port)
            try:
                client = entity("CLIENT")
                client.add_requested_context(Verification)
                association = client.associate("127.0.0.1", busy, ae_title="PACS")
                assert association.is_established
                namespace.until(
                    lambda: namespace.condition(NAME, "TargetReachable")["status"] == "True", "it answers"
                )
                namespace.until(lambda: namespace.status(NAME)["associations"] == 1, "one association")
                namespace.until(lambda: cost(namespace, "association-1") == "1", "the busy pod costs more")
                assert cost(namespace, "association-2") is None
                namespace.until_ready(NAME)
                association.release()
                namespace.until(lambda: namespace.status(NAME)["associations"] == 0, "nobody left")
            finally:
                target.stop()
        finally:
            for started in pods.values():
                started.child.stop()


def test_what_waits_reaches_the_status(namespace: Namespace, tmp_path: Path) -> None:
    """A zone that keeps and delivers: first nobody delivers, then nobody answers, then it arrives."""
    target_port = reserve_port()
    jetstream = f'jetstream {{ store_dir: "{tmp_path / "streams"}" }}\n'
    with nats_server(tmp_path / "nats", config=jetstream) as nats, ExitStack() as running:
        spec: dict[str, Any] = {
            "natsUrl": f"127.0.0.1:{nats.port}",
            "applicationEntityTitle": "PACS",
            "targetDimseHost": "127.0.0.1",
            "targetDimsePort": target_port,
            "routes": [{"to": {"ae": "PACS"}, "delivery": "durable"}],
            "spool": {"lookInterval": 0.3, "askTimeout": 0.5, "deadline": 2.0, "maxBytes": 1 << 30},
            "delivery": {"lookInterval": 0.3, "retry": {"first": 0.2, "longest": 0.5}},
        }

        def run(component: Component) -> Started:
            started = start(tmp_path / component.value, spec, component, {})
            running.callback(started.child.stop)
            wait_until(lambda: started.readyz()[0] == 200, f"{component.value} is ready", timeout=60)
            add_pod(namespace, component, f"real-{component.value}", started)
            return started

        def until(kind: str, status: str, reason: str) -> None:
            def holds() -> bool:
                found = namespace.condition(NAME, kind)
                return (found["status"], found["reason"]) == (status, reason)

            namespace.until(holds, f"{kind} is {status}: {reason}")

        namespace.create("DimseProxy", NAME, spec=spec)
        until("StoreHealthy", "Unknown", "NotSeen")
        until("Delivering", "Unknown", "NotSeen")
        run(Component.STORE)
        front_end = run(Component.ASSOCIATION)
        until("StoreHealthy", "True", "Healthy")
        until("Delivering", "True", "NothingWaits")
        namespace.until_ready(NAME)

        file = write_file(tmp_path / "one.dcm", synthetic(1, 10_000))
        stored = dcmtk.storescu(listener_of(front_end), file, called="PACS")
        assert stored.code == 0, stored.output
        until("Delivering", "False", "NobodyDelivers")
        queue = {"source": "A", "destination": "PACS", "objects": 1}
        namespace.until(lambda: namespace.status(NAME)["queues"] == [queue], "one object waits")
        assert namespace.status(NAME)["queued"] == 1

        run(Component.DELIVERY)
        until("Delivering", "False", "ConnectionRefused")
        assert namespace.condition(NAME, "Delivering")["message"] == "PACS: connection-refused"
        # Clients are served.
        namespace.until_ready(NAME)

        target, _ = dcmtk.storescp(tmp_path / "received", port=target_port)
        running.callback(target.stop)
        until("Delivering", "True", "NothingWaits")
        assert len(list((tmp_path / "received").iterdir())) == 1
        namespace.until(lambda: namespace.status(NAME)["queued"] == 0, "nothing waits")

        nats.stop()
        until("StoreHealthy", "False", "StoreUnreachable")
        until("Delivering", "Unknown", "NotSeen")
        until("Ready", "False", "StoreUnreachable")


def cost(namespace: Namespace, pod: str) -> str | None:
    annotations: dict[str, str] = namespace.get("Pod", pod)["metadata"].get("annotations", {})
    return annotations.get(COST_ANNOTATION)
