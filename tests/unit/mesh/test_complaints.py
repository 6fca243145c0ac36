"""What was dropped shows in the log, and can't fill it."""

from __future__ import annotations

import logging

import pytest

from dimse_mesh.mesh.complaints import INTERVAL, Complaints
from dimse_mesh.schemas.addresses import Role
from tests.support.bus import address
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def complaints(clock: Clock) -> Complaints:
    return Complaints(logging.getLogger("test.complaints"), clock)


def test_the_first_is_logged_at_once_and_the_rest_is_counted(
    complaints: Complaints, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1000):
        complaints.dropped("a frame", address(str(number)))
    assert caplog.messages == ["dropped a frame, from association of zone hospital"]
    clock.now = INTERVAL
    complaints.dropped("a frame", address("again"))
    assert caplog.messages[1:] == [
        "dropped a frame, from association of zone hospital (999 more in the last minute)"
    ]


def test_kinds_and_senders_are_told_apart(complaints: Complaints, caplog: pytest.LogCaptureFixture) -> None:
    complaints.dropped("a frame", address(role=Role.SCU))
    complaints.dropped("a frame", address(zone="cloud"))
    complaints.dropped("a heartbeat", address(zone="cloud"))
    complaints.dropped("a frame", None)
    assert len(caplog.messages) == 4
    assert caplog.messages[-1] == "dropped a frame, from nobody that is known"


def test_invented_zones_take_no_memory_without_bound(complaints: Complaints) -> None:
    for number in range(1000):
        complaints.dropped("a frame", address(zone=f"z{number}"))
    assert len(complaints._quiet._told) == 257, "and one for all others"
