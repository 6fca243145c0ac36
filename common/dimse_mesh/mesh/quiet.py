"""Keeps a log from being filled by whoever does the same again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

_OTHERS: Final = object()
"""Stands for the kinds that are too many to be told apart."""


@dataclass(slots=True)
class _Told:
    since: float
    lines: int = 1
    untold: int = 0


class Quiet:
    """Tells which lines to write: of each kind a few, then none until the interval is over, then how many there were.

    Args:
        interval: seconds.
        lines: of one kind in an interval.
        most: kinds that are told apart in an interval; the others share the lines of one.
        clock: seconds.
    """

    def __init__(
        self,
        *,
        interval: float = 60.0,
        lines: int = 1,
        most: int = 256,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval = interval
        self._lines = lines
        self._most = most
        self._clock = clock
        self._told: dict[Hashable, _Told] = {}

    def untold(self, kind: Hashable) -> int | None:
        """Return how many lines of this kind were kept back since the last one; None: keep this one back, too."""
        now, told = self._clock(), self._told.get(kind)
        if told is not None and now - told.since < self._interval:
            if told.lines < self._lines:
                told.lines += 1
                return 0
            told.untold += 1
            return None
        self._told.pop(kind, None)
        if len(self._told) >= self._most and kind is not _OTHERS:
            oldest = next(key for key in self._told if key is not _OTHERS)
            if now - self._told[oldest].since < self._interval:
                return self.untold(_OTHERS)
            del self._told[oldest]
        self._told[kind] = _Told(now)
        return 0 if told is None else told.untold

    def more(self, kind: Hashable) -> str | None:
        """Return what stands behind a line of this kind: how many were kept back, if any; None: keep it back, too."""
        untold = self.untold(kind)
        if untold is None:
            return None
        return f" ({untold} more in the last minute)" if untold else ""
