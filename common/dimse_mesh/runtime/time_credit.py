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
SECONDS_PER_BYTE: Final = 4e-9
"""Seconds that it gets for each byte, several times what a byte of an image costs: 250 MB/s take no other time."""
SAVED: Final = 0.004
"""Seconds that it may save up."""


class TimeCredit:
    """The credit of one connection, of all from one address, or of all that aren't let in yet, in seconds.

    Args:
        share: seconds that are earned each second.
        saved: seconds that may be saved up.
    """

    __slots__ = ("__weakref__", "_at", "_left", "_saved", "_share", "address", "since")

    def __init__(self, share: float = SHARE, saved: float = SAVED) -> None:
        self._share = share
        self._saved = saved
        self._at = 0.0
        self._left = saved
        self.since: float | None = None
        """When its owner had its first turn."""
        self.address: TimeCredit | None = None
        """Of a connection: the credit of all connections from its address."""

    def spend(self, now: float, taken: float, size: int = 0) -> float:
        """Note that a turn has taken so many seconds; return for how many the connection has to rest.

        Args:
            size: bytes that had come for it.
        """
        earned = (now - self._at) * self._share + size * SECONDS_PER_BYTE
        self._left = min(self._left + earned, self._saved) - taken
        self._at = now
        return -self._left / self._share if self._left < 0 else 0.0
