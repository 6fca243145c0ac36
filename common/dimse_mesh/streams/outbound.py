"""The sending end of one direction of an association: positions, credit, and what may have to be sent again.

Pure bookkeeping: no clock, no transport. Its owner sends each segment and calls `add` for it, calls `acknowledge` for
each ACK, and sends what `unreceived` yields when it was told that something is missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from dimse_mesh.streams.congestion import CongestionWindow

MOST_SEGMENTS = 8192
"""Segments of one half in flight, at most."""
SEGMENT_COST = 512
"""Bytes of memory that a segment takes beside its own."""


class Lane(Enum):
    """How a segment travels."""

    HANDLER = "handler"
    """Through the queue group of the handler that owns the service."""
    CONTROL = "control"
    """Straight to the other endpoint, control connection."""
    BULK = "bulk"
    """Straight to the other endpoint, bulk connection."""


@dataclass(slots=True)
class Segment:
    """A sent segment, kept until it was consumed. `payload` is what is published, whichever way, with `data` behind."""

    position: int
    length: int
    lane: Lane
    payload: bytes
    subject: str = ""
    """HANDLER: the queue group's subject."""
    channel: int = 0
    """HANDLER: ours, to which a refusal goes."""
    attempts: int = 1
    traceparent: str | None = None
    data: tuple[bytes | memoryview, ...] = ()
    """BULK: what follows the payload in the same message, and doesn't change."""
    awaited: bool = True
    """Whether an operation waits for it; if none does, it may be overdue for ever."""


class OutboundError(Exception):
    """The other endpoint acknowledged what was never sent."""


class Budget:
    """What all halves of an instance may have in flight together, in bytes of memory.

    Above it each half is held to `FAIR_SHARE`, so that many stuck peers can't fill the memory and none is starved.
    """

    FAIR_SHARE = 256 * 1024

    __slots__ = ("limit", "segments", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        """Bytes in flight."""
        self.segments = 0
        """Segments that hold them."""

    @property
    def exceeded(self) -> bool:
        """Whether halves must hold back."""
        return self.used + self.segments * SEGMENT_COST > self.limit


class Outbound:
    """The sending end of one direction.

    Args:
        usual: bytes that may be in flight, where the way to the other instance isn't long.
    """

    __slots__ = (
        "_budget",
        "_granted",
        "_segments",
        "_under_way",
        "_usual",
        "congestion",
        "consumed",
        "position",
        "received",
    )

    def __init__(self, usual: int, budget: Budget) -> None:
        self._budget = budget
        self._usual = usual
        self._granted = 0
        """Bytes that the other side agreed to hold."""
        self.congestion: CongestionWindow | None = None
        """Of what goes to the other instance, once that is known."""
        self._under_way = 0
        """Bytes that the congestion window counts."""
        self.position = 0
        """Of the next segment."""
        self.consumed = 0
        self.received = 0
        self._segments: deque[Segment] = deque()

    def open(self, granted: int, congestion: CongestionWindow) -> None:
        """Note what the other side agreed to hold, in bytes, and the congestion window of what goes to it."""
        self._granted = granted
        self.congestion = congestion

    @property
    def window(self) -> int:
        """Bytes that may be in flight: more than usual where it takes more to fill a long line."""
        wanted = self._usual
        if self.congestion is not None and self.congestion.line > wanted:
            wanted = self.congestion.line
        return min(wanted, self._granted)

    @property
    def in_flight(self) -> int:
        """Bytes sent and not consumed."""
        return self.position - self.consumed

    @property
    def exhausted(self) -> bool:
        """Whether the window, or a fair share of an exceeded budget, is full: stop reading the socket.

        A window of small segments is full before its bytes are: each takes memory of its own.
        """
        in_flight, segments = self.position - self.consumed, len(self._segments)
        return (
            in_flight >= self.window
            or segments >= MOST_SEGMENTS
            or (in_flight + segments * SEGMENT_COST >= Budget.FAIR_SHARE and self._budget.exceeded)
        )

    @property
    def idle(self) -> bool:
        """Whether everything that was sent was consumed."""
        return self.position == self.consumed

    def add(self, segment: Segment) -> None:
        """Take in a segment whose position is the present one."""
        self._segments.append(segment)
        self.position += segment.length
        self._budget.used += segment.length
        self._budget.segments += 1
        if self.congestion is not None and segment.lane is not Lane.HANDLER:
            self._under_way += segment.length
            self.congestion.sent(segment.length)

    def acknowledge(self, *, consumed: int, received: int = 0, arrived: int = 0) -> bool:
        """Note progress, free what was consumed; return whether there was any.

        Args:
            consumed: position up to which our bytes were written to the other side's peer.
            received: position up to which the other side has everything.
            arrived: bytes that it has, with those behind a gap.

        Raises:
            OutboundError: the position is beyond what was sent.
        """
        if consumed > self.position or received > self.position:
            raise OutboundError
        progress = False
        received = max(received, consumed)
        if received > self.received:
            self.received = received
            progress = True
        if consumed > self.consumed:
            self._budget.used -= consumed - self.consumed
            self.consumed = consumed
            segments = self._segments
            while segments and segments[0].position + segments[0].length <= consumed:
                segments.popleft()
                self._budget.segments -= 1
            progress = True
        if self._under_way:
            self._note_arrival(max(arrived, self.received))
        return progress

    def _note_arrival(self, arrived: int) -> None:
        """Tell the congestion window, which counts no requests: a missing handler must not stop everything else."""
        under_way = max(0, self.missing(self.position, arrived))
        if under_way < self._under_way and self.congestion is not None:
            self.congestion.arrived(self._under_way - under_way)
            self._under_way = under_way

    def missing(self, before: int, arrived: int) -> int:
        """Return how many bytes sent below position `before`, requests with handlers aside, `arrived` leaves out."""
        unhandled = sum(
            segment.length
            for segment in self._segments
            if segment.lane is Lane.HANDLER and self.received <= segment.position < before
        )
        return before - arrived - unhandled

    def close(self) -> None:
        """Forget everything that was sent."""
        self.acknowledge(consumed=self.position)

    def unreceived(self, before: int | None = None) -> Iterator[Segment]:
        """Yield the segments that the other side has not received, in order; only those below a position."""
        end = self.position if before is None else before
        return (s for s in list(self._segments) if s.position + s.length > self.received and s.position < end)

    @property
    def awaited(self) -> bool:
        """Whether the other side has not received something that it is waited for."""
        return any(segment.awaited for segment in self.unreceived())

    def replace(self, start: int, end: int, by: Segment) -> None:
        """Keep `by` instead of the segments between two positions: they will not be sent again."""
        kept = [s for s in self._segments if not start <= s.position < end]
        at = next((i for i, s in enumerate(kept) if s.position > start), len(kept))
        kept.insert(at, by)
        self._budget.segments += len(kept) - len(self._segments)
        self._segments = deque(kept)
