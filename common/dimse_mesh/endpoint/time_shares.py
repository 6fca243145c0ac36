"""How long one connection may keep the event loop, so that every other one gets its turn: in time, not in bytes.

A byte of a bulk transfer costs a nanosecond, a byte of a tiny operation a microsecond. So a turn ends after a time,
wherever in a read that is, and what is left waits until the others had theirs.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

from dimse_mesh.endpoint.time_credit import TimeCredit

ALONE: Final = 0.002
"""Seconds of a turn at most, so that timers and NATS aren't kept waiting."""
SHARED: Final = 0.0004
"""Seconds of a turn at most while another connection has turns, too."""
PAID_BACK: Final = 3
"""Seconds of rest for each second of turns that are too long."""
MOST_CHARGED: Final = 2 * SHARED
"""Seconds that a turn takes from a connection's credit at most: the machine may have been busy."""
LATELY: Final = 1.0
"""Seconds for which a connection that had a turn counts as one that has turns."""


class TimeShares:
    """What the connections of one event loop share. A connection is told by its own object."""

    __slots__ = ("_last", "_last_at", "_late", "_other_at", "live_seconds")

    def __init__(self) -> None:
        self._last: object = None
        self._last_at = self._other_at = -LATELY
        """When `_last` had its last turn, and when any other had."""
        self._late: object = None
        """Whose last turn was too long."""
        self.live_seconds = 0.0
        """Of all turns of connections that are not in the background."""

    def begin(self, connection: object) -> float:
        """Note that a turn begins; return when it should end, as `perf_counter` says."""
        now = perf_counter()
        if connection is not self._last:
            self._last, self._other_at = connection, self._last_at
        self._last_at = now
        return now + (SHARED if now - self._other_at < LATELY else ALONE)

    def end(self, connection: object, until: float, credit: TimeCredit, *, background: bool = False) -> float:
        """Note that a turn ends that should end at `until`; return for how many seconds the connection has to rest.

        While others have turns, too, a connection rests that has used up its credit. A turn can't always end where it
        should: whose turns are too long again and again rests three times as long as it has taken. Once is nobody's
        fault: the machine may have been busy.
        """
        now = perf_counter()
        taken = now - self._last_at
        if not background:
            self.live_seconds += taken
        other_at = self._other_at if connection is self._last else self._last_at
        contended = now - other_at < LATELY
        rest = credit.spend(now, min(taken, MOST_CHARGED)) if contended else 0.0
        if now < until + SHARED:
            if connection is self._late:
                self._late = None
        elif connection is not self._late:
            self._late = connection
        elif contended:
            rest = max(rest, taken * PAID_BACK)
        return rest

    def contended(self, connection: object) -> bool:
        """Tell whether another connection has turns, too."""
        other_at = self._other_at if connection is self._last else self._last_at
        return perf_counter() - other_at < LATELY
