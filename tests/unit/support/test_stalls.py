"""What counts as a stall of the machine, and what is left of a time without it."""

from __future__ import annotations

import time

import pytest

from tests.support.stalls import INTERVAL, TOLERATED, Stalls


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> Stalls:
    """Return one that no thread watches, at the time 100."""
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    return Stalls()


def test_a_thread_that_wakes_a_little_late_is_no_stall(by_hand: Stalls) -> None:
    by_hand.note(100.0 + INTERVAL + TOLERATED * 0.9)
    assert by_hand.moved(99.0, 101.0) == 2.0


def test_a_stall_is_subtracted_as_far_as_it_is_in_the_time(by_hand: Stalls) -> None:
    by_hand.note(102.0)
    stood_still = 102.0 - 100.0 - INTERVAL
    assert by_hand.moved(99.0, 103.0) == pytest.approx(4.0 - stood_still)
    assert by_hand.moved(101.0, 103.0) == pytest.approx(1.0)
    assert by_hand.moved(102.0, 103.0) == pytest.approx(1.0)
    assert by_hand.moved(98.0, 100.0) == pytest.approx(2.0)


def test_a_stall_counts_before_the_thread_has_woken_from_it(
    by_hand: Stalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 105.0)
    assert by_hand.moved(100.0) == pytest.approx(INTERVAL)


def test_a_machine_that_moves_takes_as_long_as_its_clock_says() -> None:
    with Stalls() as stalls:
        began = time.monotonic()
        time.sleep(INTERVAL * 3)
        ended = time.monotonic()
    assert 0 <= stalls.moved(began, ended) <= ended - began
