"""Rounds over all halves: which are idle, stop or are too slow in mid-message, or are at rest while we drain.

One timer for the instance and none for a half: what a half last moved is compared with what it has moved now, so the
hot path pays for nothing but its counters. Deadlines are kept to within a quarter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from dimse_mesh.endpoint.settings import HalfSettings
from dimse_mesh.mesh.errors import report

DRAIN_INTERVAL = 0.1
"""Seconds between rounds while draining."""


class Patrolled(Protocol):
    """What a round looks at."""

    @property
    def traffic(self) -> int:
        """A number that changes with every byte to or from the peer."""

    @property
    def in_mid_message(self) -> bool:
        """Whether the peer owes us the rest of a message, and is not held back by us."""

    @property
    def idle_timeout(self) -> float:
        """How long it may be at rest, with nothing moving, in seconds; 0: for ever."""

    @property
    def at_rest(self) -> bool:
        """Whether no operation is under way, in either direction."""

    def abort(self, code: str) -> None:
        """End the association on both sides."""


class Patrol:
    """Makes its rounds as long as there are halves.

    Args:
        halves: all halves of the instance by channel, as they are at each round.
    """

    def __init__(self, halves: Mapping[int, Patrolled], settings: HalfSettings) -> None:
        self._halves = halves
        self._stalled_read_timeout = settings.stalled_read_timeout
        self._loop = asyncio.get_running_loop()
        self._least_read = settings.least_read_rate * settings.stalled_read_timeout
        self._last_seen: dict[int, tuple[int, float]] = {}
        self._in_mid_message: dict[int, tuple[int, float]] = {}
        """Traffic and time when a half was first seen in mid-message, as it has been in each round since."""
        self._next_round: asyncio.TimerHandle | None = None
        self._draining = False

    def begin(self) -> None:
        """Go on rounds, now that there is a half."""
        if self._next_round is None:
            self._next_round = self._loop.call_later(self._interval(), self._round)

    def drain(self) -> None:
        """From now on abort each association as soon as it is at rest."""
        self._draining = True
        self.stop()
        self._round()

    def stop(self) -> None:
        """Make no more rounds."""
        if self._next_round is not None:
            self._next_round.cancel()
            self._next_round = None

    def _interval(self) -> float:
        if self._draining:
            return DRAIN_INTERVAL
        longest = self._stalled_read_timeout
        return min([longest, *(half.idle_timeout or longest for half in self._halves.values())]) / 4

    def _round(self) -> None:
        self._next_round = None
        now = self._loop.time()
        before, self._last_seen = self._last_seen, {}
        begun, self._in_mid_message = self._in_mid_message, {}
        for channel, half in list(self._halves.items()):
            try:
                traffic = half.traffic
                seen, since = before.get(channel, (None, now))
                if seen != traffic:
                    since = now
                self._last_seen[channel] = (traffic, since)
                slow = False
                if half.in_mid_message:
                    moved, start = begun.get(channel, (traffic, now))
                    if now - start >= self._stalled_read_timeout:
                        slow = traffic - moved < self._least_read
                        moved, start = traffic, now
                    self._in_mid_message[channel] = (moved, start)
                self._judge(half, now - since, slow=slow)
            except Exception as error:  # noqa: BLE001 - the others must be looked at, now and in the next round
                report("a round over the associations", error)
        if self._halves:
            self.begin()

    def _judge(self, half: Patrolled, silence: float, *, slow: bool) -> None:
        if self._draining and half.at_rest:
            half.abort("draining")
        elif silence >= self._stalled_read_timeout and half.in_mid_message:
            half.abort("stalled-in-mid-message")
        elif slow:
            half.abort("too-slow-in-mid-message")
        elif half.idle_timeout and silence >= half.idle_timeout and half.at_rest:
            half.abort("idle-timeout")
