"""Objects that are settled before their turn are known until it has come, however many they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from dimse_mesh.delivery.early import MOST_EARLY, EarlyObjects
from dimse_mesh.schemas.spool_subjects import RoutePriority


class Read:
    """Bands that were read up to a number, and count who asks."""

    def __init__(self) -> None:
        self.up_to = 0
        self.asked = 0

    def has_passed(self, priority: RoutePriority, sequence: int) -> bool:
        """Tell whether an object's turn is over."""
        assert priority is RoutePriority.LOW
        self.asked += 1
        return sequence < self.up_to


def spooled(sequence: int) -> Any:
    return SimpleNamespace(sequence=sequence, manifest=SimpleNamespace(priority=RoutePriority.LOW))


def test_only_those_whose_turn_has_not_come_are_noted() -> None:
    early, bands = EarlyObjects(), Read()
    bands.up_to = 5
    for sequence in (4, 5):
        early.note(spooled(sequence), bands)  # type: ignore[arg-type]
    assert 4 not in early
    assert 5 in early
    early.clear()
    assert 5 not in early


def test_those_whose_turn_has_come_are_forgotten() -> None:
    early, bands = EarlyObjects(), Read()
    for sequence in range(MOST_EARLY):
        early.note(spooled(sequence), bands)  # type: ignore[arg-type]
    bands.up_to = MOST_EARLY - 1
    early.note(spooled(MOST_EARLY), bands)  # type: ignore[arg-type]
    assert MOST_EARLY - 2 not in early
    assert MOST_EARLY - 1 in early
    assert len(early) == 2


def test_many_are_not_looked_through_for_each() -> None:
    early, bands = EarlyObjects(), Read()
    count = 8 * MOST_EARLY
    for sequence in range(count):
        early.note(spooled(sequence), bands)  # type: ignore[arg-type]
    assert len(early) == count
    assert bands.asked < 3 * count
