"""What becomes of a spool's objects, from what is seen of it."""

from __future__ import annotations

import pytest

from dimse_mesh.schemas.spool import QueuePause, QueueStatus
from dimse_mesh.store.watch import SILENT_SECONDS, Progress, state_of

NOW = 1_000_000.0
LONG = 2 * SILENT_SECONDS
REFUSED = QueueStatus(sentence="no", cause="connection-refused", since=NOW - LONG, next_attempt=NOW + 1)
DELIVERING = QueueStatus(sentence="delivering", since=NOW - 1)


@pytest.mark.parametrize(
    ("status", "waiting", "unchanged", "state"),
    [
        (None, False, 0.0, "idle"),
        (REFUSED, False, 0.0, "idle"),
        (None, True, 0.0, "nobody"),
        (DELIVERING, True, 0.0, "delivering"),
        (REFUSED, True, LONG, "connection-refused"),
        # It should have tried again long ago.
        (REFUSED.model_copy(update={"next_attempt": NOW - LONG}), True, LONG, "silent"),
        # It says that it delivers, and nothing moves.
        (DELIVERING.model_copy(update={"since": NOW - LONG}), True, LONG, "silent"),
        # One large object may take a while; objects that move are delivered.
        (DELIVERING.model_copy(update={"since": NOW - LONG}), True, 1.0, "delivering"),
        (DELIVERING, True, LONG, "delivering"),
    ],
)
def test_state(status: QueueStatus | None, waiting: bool, unchanged: float, state: str) -> None:
    seen = state_of(waiting=waiting, status=status, pause=None, unchanged=unchanged, now=NOW)
    assert seen == state


def test_a_pause_outweighs_everything() -> None:
    pause = QueuePause(paused=True, reason="new disks")
    assert state_of(waiting=True, status=REFUSED, pause=pause, unchanged=LONG, now=NOW) == "paused"


def test_the_oldest_object_is_timed_anew_when_it_changes() -> None:
    progress = Progress()
    assert progress.saw(7, 10.0) == 0.0
    assert progress.saw(7, 25.0) == 15.0
    assert progress.saw(9, 30.0) == 0.0
    assert progress.saw(0, 40.0) == 0.0
