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


def test_what_is_remembered_is_bounded() -> None:
    quiet = Quiet(most=3)
    assert [quiet.untold(number) for number in range(5)] == [0] * 5
    assert quiet.untold(4) is None
    assert quiet.untold(0) == 0, "forgotten, so told again"
