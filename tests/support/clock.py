"""A clock that is moved by hand."""

from __future__ import annotations


class Clock:
    """Called as `time.monotonic` is; seconds."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now
