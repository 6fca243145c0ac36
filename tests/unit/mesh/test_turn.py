"""What is registered in a turn runs at its end."""

from __future__ import annotations

import pytest

from dimse_mesh.mesh import Turn


def test_endings_run_once_in_order_with_those_that_they_add() -> None:
    turn = Turn()
    ran: list[str] = []

    def first() -> None:
        assert turn.under_way
        ran.append("first")
        turn.at_end(lambda: ran.append("third"))

    with turn:
        turn.at_end(first)
        turn.at_end(lambda: ran.append("second"))
        assert not ran
    assert ran == ["first", "second", "third"]
    with turn:
        pass
    assert len(ran) == 3
    assert not turn.under_way


def test_an_ending_that_fails_is_logged_and_keeps_no_other_from_running(
    caplog: pytest.LogCaptureFixture,
) -> None:
    turn = Turn()
    ran: list[str] = []

    def fail() -> None:
        raise ZeroDivisionError

    with turn:
        turn.at_end(fail)
        turn.at_end(lambda: ran.append("second"))
    assert ran == ["second"]
    assert not turn.under_way
    assert "the end of a turn raised ZeroDivisionError" in caplog.text
