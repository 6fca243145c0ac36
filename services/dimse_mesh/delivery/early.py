"""Objects that are settled before their turn: their queue will meet them again in their own band, and passes them."""

from __future__ import annotations

from dimse_mesh.delivery.bands import Bands
from dimse_mesh.schemas.spool_subjects import RoutePriority
from dimse_mesh.spool import SpooledObject

MOST_EARLY = 4096
"""Objects, after which those whose turn has come are forgotten; where few have, twice as many as are left."""


class EarlyObjects:
    """Of one queue, by their sequence numbers."""

    def __init__(self) -> None:
        self._priorities: dict[int, RoutePriority] = {}
        self._most = MOST_EARLY

    def __contains__(self, sequence: int) -> bool:
        return sequence in self._priorities

    def __len__(self) -> int:
        return len(self._priorities)

    def note(self, spooled: SpooledObject, bands: Bands) -> None:
        """Note an object that is settled, if its turn hasn't come."""
        if bands.has_passed(spooled.manifest.priority, spooled.sequence):
            return
        if len(self._priorities) >= self._most:
            self._priorities = {
                sequence: priority
                for sequence, priority in self._priorities.items()
                if not bands.has_passed(priority, sequence)
            }
            self._most = max(MOST_EARLY, 2 * len(self._priorities))
        self._priorities[spooled.sequence] = spooled.manifest.priority

    def clear(self) -> None:
        """Forget all."""
        self._priorities.clear()
