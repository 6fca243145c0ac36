"""How long this machine stood still: what a promise of the product in seconds does not answer for."""

from __future__ import annotations

import threading
import time
from typing import Self

INTERVAL = 0.01
TOLERATED = 0.05
"""Seconds by which any machine may wake a thread late."""


class Stalls:
    """Notes when the machine stood still during the block: when a thread that asked for little slept far too long."""

    def __init__(self) -> None:
        self._asleep = time.monotonic()
        self._stalls: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._run, name="stalls", daemon=True)

    def __enter__(self) -> Self:
        self._asleep = time.monotonic()
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()

    def _run(self) -> None:
        while not self._over.wait(INTERVAL):
            self.note(time.monotonic())

    def note(self, now: float) -> None:
        """Take it that the thread has slept until `now`, and sleeps again."""
        self._stalls += self._stall(now)
        self._asleep = now

    def _stall(self, now: float) -> list[tuple[float, float]]:
        due = self._asleep + INTERVAL
        return [(due, now)] if now - due > TOLERATED else []

    def moved(self, began: float, ended: float | None = None) -> float:
        """Return the seconds between two times of `time.monotonic` (until now) without those of stalls."""
        now = time.monotonic()
        ended = now if ended is None else ended
        # The thread may not have woken yet from what has woken the caller.
        known = [*self._stalls, *self._stall(now)]
        return ended - began - sum(max(0.0, min(ended, end) - max(began, start)) for start, end in known)
