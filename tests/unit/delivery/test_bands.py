"""Whose turn it is: higher priorities first, and nothing waits without end."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.delivery.bands import HIGHER, LOWER, Turns

HIGH, MEDIUM, LOW = range(3)


def test_higher_ones_come_first() -> None:
    turns = Turns()
    assert turns.next((True, True, True)) == HIGH
    assert turns.next((False, True, True)) == MEDIUM
    assert turns.next((False, False, True)) == LOW
    assert turns.next((False, False, False)) is None


def test_where_nothing_lower_waits_nobody_waits_for_a_turn() -> None:
    turns = Turns()
    assert [turns.next((False, True, False)) for _ in range(3 * HIGHER)] == [MEDIUM] * 3 * HIGHER
    assert turns.next((True, True, False)) == HIGH


def test_each_gets_its_share_while_all_wait() -> None:
    turns = Turns()
    rounds = 100
    got = Counter(turns.next((True, True, True)) for _ in range(rounds * (HIGHER + LOWER)))
    lower = rounds * LOWER
    assert got[HIGH] == rounds * HIGHER
    assert abs(got[LOW] - lower * LOWER / (HIGHER + LOWER)) <= LOWER


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=300))
def test_the_turn_is_always_of_one_that_waits(states: list[tuple[bool, bool, bool]]) -> None:
    turns = Turns()
    for waiting in states:
        index = turns.next(waiting)
        assert index is None if not any(waiting) else index is not None and waiting[index]


@given(st.sampled_from([MEDIUM, LOW]), st.integers(min_value=0, max_value=200))
def test_no_one_waits_without_end(band: int, before: int) -> None:
    turns = Turns()
    for _ in range(before):
        turns.next((True, True, False))
    turn = [
        turns.next((True, True, True)) for _ in range((HIGHER + LOWER) * (HIGHER + LOWER) // LOWER + HIGHER)
    ]
    assert band in turn
