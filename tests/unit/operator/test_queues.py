"""Queues of durable routes: from the pods' metrics to conditions."""

from __future__ import annotations

from typing import Any

import pytest

from dimse_mesh.operator.names import Component
from dimse_mesh.operator.pods import PodReport
from dimse_mesh.operator.queues import QueueSeen, delivering, merged, queues_in, store_healthy
from dimse_mesh.operator.status import Observation, Seen, status_of

SPOOL = """\
# HELP dimse_mesh_spool_reachable 1 while a spool can be read
dimse_mesh_spool_reachable{destination="PACS",source="A"} 1.0
dimse_mesh_spool_objects{destination="PACS",source="A"} 3.0
dimse_mesh_spool_kept_bytes{destination="PACS",source="A"} 950.0
dimse_mesh_spool_limit_bytes{destination="PACS",source="A"} 1000.0
dimse_mesh_spool_state{destination="PACS",source="A",state="nobody"} 1.0
dimse_mesh_spool_reachable{destination="zone:\\"x\\"",source="A"} 0.0
"""
QUEUE = """\
dimse_mesh_queue_objects{destination="PACS",source="A"} 2.0
dimse_mesh_queue_waits{cause="rejected",destination="PACS",source="A"} 1.0
dimse_mesh_queue_objects{destination="PACS",source="B"} 0.0
dimse_mesh_queue_waits{cause="none",destination="PACS",source="B"} 0.0
"""


def test_metrics_become_queues() -> None:
    assert queues_in(SPOOL) == [
        QueueSeen("A", "PACS", objects=3, share=0.95, state="nobody"),
        QueueSeen("A", 'zone:\\"x\\"', reachable=False),
    ]
    assert queues_in(QUEUE) == [QueueSeen("A", "PACS", objects=2, state="rejected"), QueueSeen("B", "PACS")]
    assert queues_in("") == []


def test_a_queue_that_two_pods_see_is_one() -> None:
    one, other = QueueSeen("A", "X", objects=3, state="delivering"), QueueSeen("A", "X", objects=2, share=0.5)
    assert merged([one, other]) == [QueueSeen("A", "X", objects=3, share=0.5, state="delivering")]
    stuck = QueueSeen("A", "X", state="rejected")
    assert [queue.state for queue in merged([one, stuck])] == ["rejected"]
    assert [queue.state for queue in merged([stuck, one])] == ["rejected"]
    assert not merged([one, QueueSeen("A", "X", reachable=False)])[0].reachable


@pytest.mark.parametrize(
    ("queue", "status", "reason", "message"),
    [
        (QueueSeen("A", "X", state="idle"), "True", "NothingWaits", "nothing waits"),
        (
            QueueSeen("A", "X", objects=1, state="delivering"),
            "True",
            "Delivering",
            "objects are being delivered",
        ),
        (
            QueueSeen("A", "X", 1, state="connection-refused"),
            "False",
            "ConnectionRefused",
            "X: connection-refused",
        ),
        (QueueSeen("B", "X", 1, state="rejected"), "False", "Rejected", "X from B: rejected"),
        (QueueSeen("A", "X", 1, state="paused"), "False", "Paused", "X: paused by an operator"),
        (QueueSeen("A", "X", 1, reachable=False), "Unknown", "NotSeen", "no pod has said yet"),
    ],
)
def test_delivering(queue: QueueSeen, status: str, reason: str, message: str) -> None:
    assert delivering([queue], source="A") == (status, reason, message)


@pytest.mark.parametrize(("state", "reason"), [("nobody", "NobodyDelivers"), ("silent", "DeliverySilent")])
def test_nobody_delivers(state: str, reason: str) -> None:
    verdict = delivering([QueueSeen("A", "X", 1, state=state), QueueSeen("A", "Y", state="idle")], source="A")
    assert verdict[:2] == ("False", reason)
    assert verdict[2].startswith("X: ")


@pytest.mark.parametrize(
    ("queue", "status", "reason"),
    [
        (QueueSeen("A", "X", share=0.5), "True", "Healthy"),
        (QueueSeen("A", "X", share=0.9), "False", "NearlyFull"),
        (QueueSeen("A", "X", reachable=False), "False", "StoreUnreachable"),
        (QueueSeen("B", "X", reachable=False), "Unknown", "NotSeen"),
    ],
)
def test_store_healthy(queue: QueueSeen, status: str, reason: str) -> None:
    assert store_healthy([queue], source="A")[:2] == (status, reason)


READY = {component: Seen(1, 1, 1, 1, 1, pods=[PodReport("p", ready=True)]) for component in Component}


def kinds(status: dict[str, Any]) -> list[str]:
    return [one["type"] for one in status["conditions"]]


def test_only_zones_with_durable_routes_speak_of_them() -> None:
    plain = status_of("now", Observation(1, services=READY))
    assert kinds(plain) == ["Ready", "Progressing", "NatsConnected", "TargetReachable"]
    assert "queued" not in plain
    delivers = status_of("now", Observation(1, services=READY, delivers=True))
    assert kinds(delivers)[4:] == ["Delivering"]
    keeps = status_of("now", Observation(1, services=READY, keeps=True))
    assert kinds(keeps)[4:] == ["Delivering", "StoreHealthy"]


def test_ready_is_about_clients() -> None:
    """Who stores is served while a destination is away, and isn't while the store is."""

    def ready(queue: QueueSeen) -> bool:
        seen = Observation(1, services=READY, zone="A", keeps=True, queues=[queue])
        return bool(status_of("now", seen)["ready"])

    assert ready(QueueSeen("A", "X", 5, state="connection-refused"))
    assert ready(QueueSeen("A", "X", 5, share=0.95))
    assert not ready(QueueSeen("A", "X", 5, reachable=False))
