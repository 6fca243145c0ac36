"""What `queue why` says of a queue whose delivery service says nothing."""

from __future__ import annotations

import time

import pytest

from dimse_mesh.app.queue import sentence_of
from dimse_mesh.app.queue_pause import pause_of
from dimse_mesh.delivery.report import IDLE
from dimse_mesh.runtime.settings_errors import ConfigurationError
from dimse_mesh.schemas.spool import QueueStatus
from dimse_mesh.spool import SpoolSummary


def summary(waiting: int, sentence: str) -> SpoolSummary:
    return SpoolSummary(
        waiting=waiting,
        failed=0,
        size=1000,
        limit=10000,
        oldest=time.time(),
        status=QueueStatus(sentence=sentence, since=time.time()),
        pause=None,
    )


def test_what_came_behind_a_cut_line_does_not_contradict_the_last_word() -> None:
    assert "nothing waits" not in sentence_of(summary(40, IDLE))
    assert "is the line to its zone up?" in sentence_of(summary(40, IDLE))
    assert sentence_of(summary(0, IDLE)) == "nothing waits"


@pytest.mark.parametrize(
    ("reason", "minutes", "said"),
    [
        ("x" * 257, None, "--reason: at most 256 characters, this one has 257"),
        ("", float("inf"), "--minutes"),
    ],
)
def test_a_pause_that_can_not_be_said(reason: str, minutes: float | None, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        pause_of(reason, minutes)


def test_the_longest_reason_of_a_pause() -> None:
    assert pause_of("x" * 256, None).until is None
