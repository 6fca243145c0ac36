"""Lines about the same: a few, then how many there were."""

from __future__ import annotations

from dimse_mesh.mesh.quiet import Quiet


def test_repeated_lines_are_counted_instead() -> None:
    now = 0.0
    quiet = Quiet(lines=2, interval=60, clock=lambda: now)
    assert [quiet.untold("a") for _ in range(4)] == [0, 0, None, None]
    assert quiet.untold("b") == 0
    now = 61.0
    assert [quiet.untold("a") for _ in range(2)] == [2, 0]


def test_kinds_that_are_too_many_to_be_told_apart_share_the_lines_of_one() -> None:
    now = 0.0
    quiet = Quiet(most=3, lines=2, interval=60, clock=lambda: now)
    assert [quiet.untold(number) for number in range(5)] == [0] * 5
    assert [quiet.untold(number) for number in range(5, 1000)] == [None] * 995
    assert quiet.untold(0) == 0, "it is one of the first"
    now = 61.0
    assert [quiet.untold(number) for number in range(2000, 2004)] == [0, 0, 0, 995], (
        "the oldest are forgotten"
    )


def test_a_line_says_how_many_were_kept_back() -> None:
    now = 0.0
    quiet = Quiet(interval=60, clock=lambda: now)
    assert [quiet.more("a") for _ in range(3)] == ["", None, None]
    now = 61.0
    assert quiet.more("a") == " (2 more in the last minute)"
