"""Congestion windows: how much may be under way to one other instance, so that nothing waits for long in a queue.

nats-server takes at once what halves send. Where the line is thin (a leaf link, for example) it queues there, with
heartbeats and cancels behind it. So a window lets out no more than arrives in about a second, measured in rounds. The
peers whose data would be too much are not read meanwhile; they are read one after the other (docs/adr/0009-paths.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from dimse_mesh.schemas.addresses import InstanceAddress

_SMALLEST_WINDOW = 256 * 1024
"""Also the first one: what the line carries is not known before."""
_ENOUGH = 1.0
"""Seconds that something may be under way."""
_LOOK_AGAIN = 0.05
"""Seconds after which the next source that waits may read though nothing has arrived: the one before it had nothing
to send."""
_SMALLEST_READ = 64 * 1024
_READS = 4
"""A read may fill this part of the window."""
_LINES = 2
"""How often the line's content one half may have in flight: with less its next acknowledgement came too late."""
_RATE_AGE = 10.0
"""Seconds for which the highest rate counts."""
_ROUND_AGE = 60.0
"""Seconds after which the shortest round is looked for anew, the last one beside it: the way may have become longer."""


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """Let it not come."""


class Clock(Protocol):
    """The event loop's time."""

    def time(self) -> float:
        """Return the present time, in seconds."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` after `delay` seconds."""


class Source(Protocol):
    """A half, as its congestion window sees it."""

    def regulate(self, *, waited: bool = False) -> None:
        """Read its peer, or wait, and say which; `waited`: it has waited for this read."""


class CongestionWindow:
    """Counts the bytes that all halves send to one instance, from `sent` until they have `arrived`.

    no round        sent       -> a round, until all that is under way now has arrived
    in a round      it has     -> no round; the window is what would have arrived in a second: at once if the
                                  round took longer, else only if that is more than it was

    The shortest round is the round trip, nearly: times the highest rate it is what the line between the instances
    holds. A longer round is one that waited in a queue, and more in flight would only make the queue longer.
    """

    __slots__ = (
        "_arrived",
        "_at",
        "_began",
        "_clock",
        "_goal",
        "_looking",
        "_rate",
        "_rate_at",
        "_reading",
        "_sent",
        "_shortest",
        "_shortest_before",
        "_shortest_since",
        "_waiting",
        "line",
        "read_size",
        "window",
    )

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sent = 0
        self._arrived = 0
        self._goal = 0
        """The round ends when so much has arrived; there is no round while this is not above `_arrived`."""
        self._at = 0
        """What had arrived when it began."""
        self._began = 0.0
        self._reading: dict[Source, None] = {}
        """Sources that may read."""
        self._waiting: dict[Source, None] = {}
        """Sources that wait for room, the first one first."""
        self._looking: Timer | None = None
        self._rate = 0.0
        """Bytes a second in the fastest round of late, and when that was."""
        self._rate_at = 0.0
        self._shortest = self._shortest_before = math.inf
        """Seconds of the shortest round since `_shortest_since`, and in the time before that."""
        self._shortest_since = clock.time()
        self.line = 0
        """Bytes that one half may have in flight to keep the line full."""
        self.window = 0
        """Bytes that may be under way."""
        self.read_size = 0
        """Bytes that a half should read at most at a time."""
        self._open(_SMALLEST_WINDOW)

    def _open(self, window: int) -> None:
        self.window = max(window, _SMALLEST_WINDOW)
        self.read_size = max(self.window // _READS, _SMALLEST_READ)

    @property
    def under_way(self) -> int:
        """Bytes that were sent and have not arrived, as far as we know."""
        return self._sent - self._arrived

    @property
    def full(self) -> bool:
        """Whether nothing more should be sent."""
        return self._sent - self._arrived >= self.window

    @property
    def contended(self) -> bool:
        """Whether a source waits for room."""
        return bool(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, and nobody reads or waits."""
        return not (self.under_way or self._reading or self._waiting)

    def sent(self, size: int) -> None:
        """Count `size` bytes."""
        self._sent += size
        if self.full and self._reading:
            for source in list(self._reading):
                source.regulate()
        if self._goal <= self._arrived:
            self._goal = self._sent
            self._at = self._arrived
            self._began = self._clock.time()

    def arrived(self, size: int) -> None:
        """Count `size` bytes that the other endpoint has, or that nobody will send again."""
        in_round = self._goal > self._arrived
        self._arrived += size
        if in_round and self._arrived >= self._goal:
            now = self._clock.time()
            seconds = max(now - self._began, 1e-6)
            rate = (self._arrived - self._at) / seconds
            self._measure(rate, seconds, now)
            window = int(rate * _ENOUGH)
            if seconds > _ENOUGH or window > self.window:
                self._open(window)

    def _measure(self, rate: float, seconds: float, now: float) -> None:
        """Find out from a round what the line holds."""
        if rate >= self._rate or now - self._rate_at > _RATE_AGE:
            self._rate, self._rate_at = rate, now
        if now - self._shortest_since > _ROUND_AGE:
            self._shortest_before, self._shortest, self._shortest_since = self._shortest, seconds, now
        self._shortest = min(self._shortest, seconds)
        self.line = int(_LINES * self._rate * min(self._shortest, self._shortest_before))

    def reads(self, source: Source) -> None:
        """Call `source.regulate` when there is no room any more."""
        self._waiting.pop(source, None)
        self._reading[source] = None

    def wait(self, source: Source) -> None:
        """Call `source.regulate` when there is room, after the sources that wait already."""
        self._reading.pop(source, None)
        self._waiting.setdefault(source)
        self._look_again()

    def leave(self, source: Source) -> None:
        """Forget a source that neither reads nor waits."""
        self._reading.pop(source, None)
        self._waiting.pop(source, None)

    def let_read(self) -> None:
        """Let sources that wait read, as far as there is room."""
        if not self._waiting:
            return
        room = self.window - self.under_way
        reads = min(
            len(self._waiting), -(-room // self.read_size)
        )  # as many as may fill the room, rounded up
        for _ in range(reads):
            source = next(iter(self._waiting))
            del self._waiting[source]
            source.regulate(waited=True)

    def _look_again(self) -> None:
        if self._looking is None:
            self._looking = self._clock.call_later(_LOOK_AGAIN, self._look)

    def _look(self) -> None:
        self._looking = None
        try:
            self.let_read()
        finally:  # what one source raises keeps no other from its turn
            if self._waiting:
                self._look_again()


class CongestionWindows:
    """The congestion windows of one instance, by the address of the other one."""

    __slots__ = ("_by_instance", "_clock")

    _REMEMBERED = 256
    """Windows that are kept though nothing is under way."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_instance: dict[InstanceAddress, CongestionWindow] = {}

    def to(self, instance: InstanceAddress) -> CongestionWindow:
        """Return the window of what goes to `instance`."""
        window = self._by_instance.get(instance)
        if window is None:
            if len(self._by_instance) >= self._REMEMBERED:
                self._by_instance = {name: one for name, one in self._by_instance.items() if not one.idle}
            window = self._by_instance[instance] = CongestionWindow(self._clock)
        return window

    def forget(self, instance: InstanceAddress) -> None:
        """Let go of the window of an instance that died."""
        self._by_instance.pop(instance, None)
