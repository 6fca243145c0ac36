"""When the sender of a direction asks what has arrived, and which answers it acts on.

silence for a timeout     -> PROBE with a number, behind all that was sent so far; then at twice the timeout
NACK with that number     -> what was sent before the probe, and isn't there, is lost: it is sent again
something is sent again   -> answers to earlier probes say nothing of it, and are ignored
"""

from __future__ import annotations

_BACKOFF = 2
"""Timeouts without progress between probes, from the second probe on."""
_REPEAT_PAUSE = 0.2
"""Seconds in which the same segments are not sent once more because of a NACK that answers no probe."""
_ASKED_AT_MOST = 64
"""Probes whose answer is awaited."""


class Probing:
    """The probes of one direction."""

    __slots__ = ("_asked", "_last", "_repeated_at", "_sent")

    def __init__(self) -> None:
        self._sent = 0
        """Since there was progress."""
        self._last = 0
        self._asked: dict[int, int] = {}
        """The position below which everything was sent before a probe, by the probe's number. Probes from before the
        last repetition are not in it."""
        self._repeated_at = 0.0

    def progress(self) -> None:
        """Begin anew: the other endpoint has received something, or the mesh has come back."""
        self._sent = 0

    def due(self, silence: float, timeout: float) -> bool:
        """Tell whether to ask, after so many seconds without progress."""
        return silence > timeout * min(1 << self._sent, _BACKOFF)

    def ask(self, position: int) -> int:
        """Return the number of a probe that is sent behind everything below `position`."""
        self._sent = min(self._sent + 1, 16)
        self._last += 1
        self._asked[self._last] = position
        if len(self._asked) > _ASKED_AT_MOST:
            del self._asked[next(iter(self._asked))]
        return self._last

    def answered(self, number: int, position: int, now: float) -> int | None:
        """Return below which position what is missing is lost; None: that isn't known.

        Args:
            number: of the probe; 0: the other side had lost its connection, so all that was sent is behind it.
            position: up to which was sent.
        """
        if number:
            return self._asked.pop(number, None)
        return None if now - self._repeated_at < _REPEAT_PAUSE else position

    def repeated(self, now: float) -> None:
        """Note that something was sent again."""
        self._asked.clear()
        self._repeated_at = now
