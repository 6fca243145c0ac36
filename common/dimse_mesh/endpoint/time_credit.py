"""What a connection may take of the event loop's time while others want it, too.

A connection that only waits for its next turn would have turn after turn, and the process would never be idle: whoever
else sends something waits for the end of a turn in this process, and for the processor wherever others run. So a part
of the time is a connection's own, and its bytes bring it more: an image that comes as fast as the network is never held
back, tiny operations and fragments without end are.
"""

from __future__ import annotations

from typing import Final

SHARE: Final = 0.25
"""Seconds that a connection gets for each second."""
SECONDS_PER_BYTE: Final = 25e-9
"""Seconds that it gets for each byte: 40 MB/s take no other time."""
SAVED: Final = 0.004
"""Seconds that it may save up."""


class TimeCredit:
    """The credit of one connection, in seconds."""

    __slots__ = ("_at", "_left")

    def __init__(self) -> None:
        self._at = 0.0
        self._left = SAVED

    def earn(self, size: int) -> None:
        """Note that so many bytes have come."""
        self._left += size * SECONDS_PER_BYTE

    def spend(self, now: float, taken: float) -> float:
        """Note that a turn has taken so many seconds; return for how many the connection has to rest."""
        self._left = min(self._left + (now - self._at) * SHARE, SAVED) - taken
        self._at = now
        return -self._left / SHARE if self._left < 0 else 0.0
