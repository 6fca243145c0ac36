"""One association half as sequence charts: events in, actions out, with no router, timer or socket."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.unit.endpoint.charts import ANSWER, ECHO, Chart
from tests.unit.endpoint.virtual_time import run

ASKED = len(ECHO.command)
ANSWERED = len(ANSWER.command)


def play(lines: Sequence[str], *, ends: str, half_close: bool = True) -> None:
    """See that the lines come true, and how the association ends for its half."""

    async def main() -> None:
        chart = Chart(half_close=half_close)
        chart.play(lines)
        assert chart.ended == ([ends] if ends else [])

    run(main())


def test_an_operation_and_a_release() -> None:
    play(
        [
            "peer > C-ECHO-RQ",
            "> mesh MESSAGE 0",
            "mesh > C-ECHO-RSP",
            "> peer C-ECHO-RSP",
            "peer > RELEASE_RQ",
            f"> mesh RELEASE_RQ {ASKED}",
            "mesh > RELEASE_RP",
            "> peer RELEASE_RP",
            "kept",
            f"> mesh ACK of {ANSWERED + 1}",
        ],
        ends="released",
    )


def test_the_other_peer_releases() -> None:
    play(
        ["mesh > RELEASE_RQ", "> peer RELEASE_RQ", "peer > RELEASE_RP", "kept", "> mesh RELEASE_RP 0"],
        ends="released",
    )


def test_releases_that_cross_in_the_mesh() -> None:
    play(
        [
            "peer > RELEASE_RQ",
            "> mesh RELEASE_RQ 0",
            "mesh > RELEASE_RQ",
            "> peer RELEASE_RP",
            "kept",
            "> mesh ACK of 1",
        ],
        ends="released",
    )


def test_a_peer_that_aborts() -> None:
    play(["peer > ABORT 0 3", "> mesh ABORT 0 3", "forgotten"], ends="aborted-by-peer")


def test_the_other_peer_aborts() -> None:
    play(["mesh > ABORT 0 3", "> peer ABORT 0 3", "forgotten"], ends="aborted-by-other-side")


def test_a_peer_that_closes_behind_what_it_sent() -> None:
    play(
        [
            "peer > C-ECHO-RQ",
            "> mesh MESSAGE 0",
            "peer > gone",
            "kept",
            f"> mesh CLOSE {ASKED}",
        ],
        ends="transport-lost",
    )


def test_a_peer_that_sends_no_more_gets_its_answer() -> None:
    play(
        [
            "peer > C-ECHO-RQ",
            "> mesh MESSAGE 0",
            "peer > FIN",
            f"> mesh CLOSE {ASKED}",
            "mesh > C-ECHO-RSP",
            "> peer C-ECHO-RSP",
            "mesh > ACK",
            "mesh > CLOSE 1",
            "> peer close",
            "forgotten",
            f"> mesh ACK of {ANSWERED + 1}",
        ],
        ends="transport-lost",
    )


def test_the_other_peer_sends_no_more() -> None:
    play(
        [
            "mesh > C-ECHO-RQ",
            "> peer C-ECHO-RQ",
            "mesh > CLOSE 0",
            "> peer FIN",
            "peer > C-ECHO-RSP",
            "> mesh MESSAGE 0",
            "peer > FIN",
            "> peer close",
            "kept",
            f"> mesh CLOSE {ANSWERED}",
        ],
        ends="closed-by-other-side",
    )


def test_a_peer_that_cannot_be_closed_one_way_is_closed_when_it_has_answered() -> None:
    play(
        [
            "mesh > C-ECHO-RQ",
            "> peer C-ECHO-RQ",
            "mesh > CLOSE 0",
            "peer > C-ECHO-RSP",
            "> peer close",
            "kept",
            "> mesh MESSAGE 0",
            f"> mesh CLOSE {ANSWERED}",
        ],
        ends="closed-by-other-side",
        half_close=False,
    )


def test_a_peer_that_does_not_answer_a_release_is_silent_for_ten_seconds() -> None:
    play(
        [
            "mesh > RELEASE_RQ",
            "> peer RELEASE_RQ",
            "time > 9.5",
            "time > 1",
            "> peer ABORT 2 0",
            "> mesh ABORT 2 0",
            "forgotten",
        ],
        ends="release-timeout",
    )


@pytest.mark.parametrize("seconds", [1.5, 30.0])
def test_what_is_not_acknowledged_is_asked_about(seconds: float) -> None:
    play(
        ["peer > C-ECHO-RQ", "> mesh MESSAGE 0", f"time > {seconds}", "> mesh PROBE 1", "mesh > ACK"],
        ends="",
    )
