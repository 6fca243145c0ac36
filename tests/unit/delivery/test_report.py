"""What a queue says of itself, in one share and in several."""

from __future__ import annotations

from typing import cast

import pytest

from dimse_mesh.delivery.report import DELIVERING, IDLE, QueueReport
from dimse_mesh.mesh import JetStream
from dimse_mesh.runtime.counters_durable import QueueCounters
from dimse_mesh.runtime.telemetry import Telemetry
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects

SPOOL = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, "ARCHIVE")


@pytest.fixture
def report() -> QueueReport:
    return QueueReport(
        cast(JetStream, None), SPOOL, "cloud.delivery.1", QueueCounters(), cast(Telemetry, None)
    )


@pytest.mark.parametrize("shares", [1, 3])
def test_a_queue_in_which_nothing_waits_says_so_from_the_beginning(report: QueueReport, shares: int) -> None:
    assert report.status.sentence == "starting"
    for share in [report.share() for _ in range(shares)]:
        share.idle()
    assert report.status.sentence == IDLE


def test_a_share_that_waits_is_heard_before_others(report: QueueReport) -> None:
    one, two = report.share(), report.share()
    one.delivers()
    two.idle()
    assert report.status.sentence == DELIVERING
    two.waits("connection refused", "connection-refused", 1000.0)
    one.delivers()
    assert report.status.sentence == "connection refused"
    assert report.status.next_attempt == 1000.0
    assert report.counters.waits_for == "connection-refused"
    two.waits("connection refused", "connection-refused", 2000.0)
    assert report.status.next_attempt == 2000.0
    two.delivers()
    assert report.status.sentence == DELIVERING
    assert not report.counters.waits_for


def test_what_is_said_again_is_no_news(report: QueueReport) -> None:
    one, two = report.share(), report.share()
    two.waits("connection refused", "connection-refused", 1000.0)
    status = report.status
    one.delivers()
    one.idle()
    two.waits("connection refused", "connection-refused", 1000.0)
    assert report.status is status
