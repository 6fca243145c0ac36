"""The receiving end of one direction of an association: order, duplicates, and what to acknowledge.

Pure bookkeeping. Segments travel in several lanes (through a handler, on the control and the bulk connection), so they
may come early or twice. The owner calls `accept` for each one. While its peer's socket takes more, it writes
`next_segment` and calls `consumed_next`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Self

from dimse_mesh.schemas.frames import Frame, FrameKind, sequence_length

_FIRST_OWING = 64 * 1024
"""Consumed bytes of which the other side is told first; then of twice as much each time."""

MOST_ARRIVALS = 65536
"""Segments that wait to be written, at most: several times what a sender has in flight, which counts them, too."""

_SPARE = 1024
"""Bytes around a payload, beside as many as its own, for which it stays in its message: frame and head of a request."""


@dataclass(slots=True)
class Arrival:
    """A segment that arrived; `payload` is a view, mostly into the message that it came in, which it keeps alive."""

    position: int
    length: int
    kind: int
    flags: int
    context_id: int
    payload: memoryview
    traceparent: str | None = None

    @classmethod
    def of(cls, frame: Frame, traceparent: str | None = None, **more: Any) -> Self:
        """Return the segment that a frame carries; `more` is what a kind of its own has beside."""
        kind, payload = frame.kind, frame.payload
        length = sequence_length(kind, len(payload))
        return cls(frame.position, length, kind, frame.flags, frame.context_id, payload, traceparent, **more)


class WindowOverrun(Exception):
    """The other endpoint sent more than it was granted, or more pieces than anybody sends."""


class Inbound:
    """The receiving end.

    Args:
        window: what we granted, in bytes.
        slack: what one read may add to it.
        owing: bytes consumed that the other side is told of at once; the first ones sooner.
    """

    __slots__ = (
        "_early",
        "_limit",
        "_owing",
        "_ready",
        "_told",
        "acknowledged",
        "arrived",
        "consumed",
        "received",
    )

    def __init__(self, window: int, *, slack: int, owing: int) -> None:
        self._owing = owing
        self.received = 0
        """Everything below this position has arrived."""
        self.consumed = 0
        """Everything below this position was written to the peer."""
        self.acknowledged = 0
        """What the other side was last told that we consumed."""
        self._told = 0
        """What it was told that has arrived."""
        self.arrived = 0
        """Bytes that have arrived, with those behind a gap."""
        self._limit = window + slack
        self._ready: deque[Arrival] = deque()
        self._early: dict[int, Arrival] = {}

    def accept(self, arrival: Arrival) -> bool:
        """Take in a segment; return False when it is a duplicate.

        Raises:
            WindowOverrun: it does not fit the window.
        """
        position = arrival.position
        if position < self.received or position in self._early:
            return False
        if position + arrival.length - self.consumed > self._limit:
            raise WindowOverrun
        if len(self._ready) + len(self._early) >= MOST_ARRIVALS:
            raise WindowOverrun
        self.arrived += arrival.length
        payload = arrival.payload
        message = payload.obj
        if not isinstance(message, bytes) or len(message) > 2 * len(payload) + _SPARE:
            arrival.payload = memoryview(bytes(payload))  # else a tiny segment could hold a message of 1 MiB
        if position > self.received:
            self._early[position] = arrival
            return True
        self._append(arrival)
        while self._early and (following := self._early.pop(self.received, None)) is not None:
            self._append(following)
        return True

    def _append(self, arrival: Arrival) -> None:
        self._ready.append(arrival)
        self.received = arrival.position + arrival.length
        if arrival.kind == FrameKind.CANCEL:  # pieces of what it skips may have come behind it
            self._drop_early(arrival.position, self.received)

    def skip(self, position: int, length: int, payload: memoryview) -> bool:
        """Pass over segments that will not come; return False when part of them was already received.

        Args:
            payload: of the frame that says so.
        """
        if position < self.received:
            return position + length <= self.received
        self._drop_early(position, position + length)
        return self.accept(Arrival(position, length, FrameKind.CANCEL, 0, 0, payload))

    def _drop_early(self, start: int, end: int) -> None:
        for position in [p for p in self._early if start <= p < end]:
            self.arrived -= self._early.pop(position).length

    @property
    def next_segment(self) -> Arrival | None:
        """Return the segment to write next, without taking it."""
        return self._ready[0] if self._ready else None

    def consumed_next(self) -> None:
        """Note that the next segment was written."""
        arrival = self._ready.popleft()
        self.consumed = arrival.position + arrival.length

    def take_acknowledgement(self) -> int:
        """Return up to where everything was consumed, for a frame that tells the other side."""
        self.acknowledged = self.consumed
        self._told = max(self._told, self.consumed)
        return self.consumed

    def take_arrived(self) -> int:
        """Return how much has arrived, for a frame that tells the other side."""
        self._told = self.arrived
        return self.arrived

    @property
    def owes_acknowledgement(self) -> bool:
        """Whether the other side doesn't know yet how much was consumed, or has arrived."""
        return self.consumed != self.acknowledged or self.arrived != self._told

    @property
    def must_acknowledge(self) -> bool:
        """Whether so much was consumed that the other side should know now.

        In the beginning that is little: its congestion window opens by what it is told.
        """
        return self.consumed - self.acknowledged >= min(self._owing, max(_FIRST_OWING, self.acknowledged))

    def clear(self) -> None:
        """Forget what has not been written."""
        self._ready.clear()
        self._early.clear()
