"""How long one connection may keep the event loop, so that every other one gets its turn: in time, not in bytes.

A byte of a bulk transfer costs a nanosecond, a byte of a tiny operation a microsecond. So a turn ends after a time,
wherever in a read that is, and what is left waits until the others had theirs.

A peer with many connections has many shares; but all from one address together have no more than half of the time while
those from another one have turns, too.

Who connects again and again has a new connection, and a new share, each time. So all connections that have no
association yet have one share together: what they send, their TLS handshakes and the opening of their associations are
taken from it, and `newcomers_rest` tells when there is none left.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final
from weakref import WeakValueDictionary

from dimse_mesh.runtime.time_credit import TimeCredit

ALONE: Final = 0.002
"""Seconds of a turn at most, so that timers and NATS aren't kept waiting."""
SHARED: Final = 0.0004
"""Seconds of a turn at most while another connection has turns, too."""
PAID_BACK: Final = 3
"""Seconds of rest for each second of turns that are too long."""
MOST_CHARGED: Final = 2 * SHARED
"""Seconds that a turn, or a piece of work, takes from a credit at most: the machine may have been busy."""
LEAST_CHARGED: Final = 25e-6
"""Seconds that a turn takes from a credit at least: what the event loop does to read a byte."""
LATELY: Final = 1.0
"""Seconds for which a connection that had a turn counts as one that has turns."""
SETTLED: Final = 1.0
"""Seconds after its first turn from which on an association is no newcomer's: it is to be fast beside them."""
ADDRESS_SHARE: Final = 0.5
"""Seconds that the connections from one address get for each second, all together."""
ADDRESS_SAVED: Final = 0.02
"""Seconds that they may save up."""
NEWCOMERS_SHARE: Final = 0.1
"""Seconds that those without an association get for each second, all together, beside settled ones."""
NEWCOMERS_SAVED: Final = 0.02
"""Seconds that they may save up: a dozen associations."""


class TimeShares:
    """What the connections of one event loop share. A connection is told by its own object."""

    __slots__ = (
        "_addresses",
        "_last",
        "_last_address",
        "_last_address_at",
        "_last_at",
        "_late",
        "_newcomers",
        "_other_address_at",
        "_other_at",
        "_settled_at",
        "live_seconds",
    )

    def __init__(self) -> None:
        self._last: object = None
        self._last_at = self._other_at = -LATELY
        """When `_last` had its last turn, and when any other had."""
        self._addresses: WeakValueDictionary[str, TimeCredit] = WeakValueDictionary()
        self._last_address: TimeCredit | None = None
        self._last_address_at = self._other_address_at = -LATELY
        """The same of all connections from an address."""
        self._late: object = None
        """Whose last turn was too long."""
        self._newcomers = TimeCredit(NEWCOMERS_SHARE, NEWCOMERS_SAVED)
        self._settled_at = -LATELY
        """When a settled association had its last turn."""
        self.live_seconds = 0.0
        """Of all turns of connections that are not in the background."""

    def of_address(self, address: str) -> TimeCredit:
        """Return the credit that all connections from an address share."""
        credit = self._addresses.get(address)
        if credit is None:
            credit = self._addresses[address] = TimeCredit(ADDRESS_SHARE, ADDRESS_SAVED)
        return credit

    def begin(self, connection: object) -> float:
        """Note that a turn begins; return when it should end, as `perf_counter` says."""
        now = perf_counter()
        if connection is not self._last:
            self._last, self._other_at = connection, self._last_at
        self._last_at = now
        return now + (SHARED if now - self._other_at < LATELY else ALONE)

    def end(
        self,
        connection: object,
        until: float,
        credit: TimeCredit,
        size: int,
        *,
        background: bool = False,
        newcomer: bool = False,
    ) -> float:
        """Note that a turn ends that should end at `until`; return for how many seconds the connection has to rest.

        While others have turns, too, a connection rests that has used up its credit. A turn can't always end where it
        should: whose turns are too long again and again rests three times as long as it has taken. Once is nobody's
        fault: the machine may have been busy.

        Args:
            size: bytes that were read for the turn.
        """
        now = perf_counter()
        taken = max(now - self._last_at, LEAST_CHARGED)
        if newcomer:
            self.newcomers_took(taken)
            return self.newcomers_rest()
        if not background:
            self.live_seconds += taken
        if credit.since is None:
            credit.since = now
        elif now - credit.since >= SETTLED:
            self._settled_at = now
        other_at = self._other_at if connection is self._last else self._last_at
        contended = now - other_at < LATELY
        charged = min(taken, MOST_CHARGED)
        rest = credit.spend(now, charged, size) if contended else 0.0
        if credit.address is not None:
            rest = max(rest, self._address_rest(credit.address, now, charged, size))
        if now < until + SHARED:
            if connection is self._late:
                self._late = None
        elif connection is not self._late:
            self._late = connection
        elif contended:
            rest = max(rest, taken * PAID_BACK)
        return rest

    def _address_rest(self, address: TimeCredit, now: float, charged: float, size: int) -> float:
        if address is not self._last_address:
            self._last_address, self._other_address_at = address, self._last_address_at
        self._last_address_at = now
        return address.spend(now, charged, size) if now - self._other_address_at < LATELY else 0.0

    def contended(self, connection: object) -> bool:
        """Tell whether another connection has turns, too."""
        other_at = self._other_at if connection is self._last else self._last_at
        return perf_counter() - other_at < LATELY

    def newcomers_took(self, seconds: float) -> None:
        """Note what work for connections without an association has taken; the machine may have been busy in it."""
        now = perf_counter()
        if now - self._settled_at < LATELY:
            self._newcomers.spend(now, min(seconds, MOST_CHARGED))

    def newcomers_rest(self) -> float:
        """Return for how many seconds nothing is to be done for those without an association."""
        now = perf_counter()
        return self._newcomers.spend(now, 0.0) if now - self._settled_at < LATELY else 0.0
