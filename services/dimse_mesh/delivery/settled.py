"""Which objects of a queue are settled: what the roll call need not look for."""

from __future__ import annotations

MOST_SETTLED = 20_000
"""Objects that are remembered; of older ones a receipt tells."""


class SettledObjects:
    """The last objects of one spool that were settled by this process, whichever share has delivered them."""

    def __init__(self) -> None:
        self._ids: dict[int, bytes] = {}
        self.forgotten = 0
        """Sequence number up to which objects may have been settled here that aren't known any more."""

    def note(self, sequence: int, object_id: str) -> None:
        """Note that an object is settled: what has become of it is told, and it is gone from the queue."""
        self._ids[sequence] = bytes.fromhex(object_id)
        if len(self._ids) > MOST_SETTLED:
            oldest = next(iter(self._ids))
            del self._ids[oldest]
            self.forgotten = max(self.forgotten, oldest)

    def has(self, sequence: int, object_id: str) -> bool:
        """Tell whether an object is known to be settled. Of a stream made anew the numbers may be the same."""
        return self._ids.get(sequence) == bytes.fromhex(object_id)
