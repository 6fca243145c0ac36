"""When, and how fast, a destination is sent what waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import anyio

from dimse_mesh.runtime.settings_pace import Day, PaceSettings

SLICE_SECONDS = 0.25
"""How much of a data set goes at once under a limit, in seconds of it: a destination never waits long for more."""
DAYS_AHEAD = 15
"""A window of one day a week may be left out by the clock once."""
_WEEK = tuple(Day)


class Pace:
    """The pace of one destination. None: at any time, as fast as it takes it."""

    def __init__(self, settings: PaceSettings | None) -> None:
        self._settings = settings
        self._free_at = 0.0
        """Loop time at which what was sent is no more than the limit allows."""

    @property
    def note(self) -> str:
        """What is to be said of it while objects are delivered."""
        limit = 0 if self._settings is None else self._settings.bytes_per_second
        return f", at most {limit} bytes a second" if limit else ""

    def closed_until(self, now: float) -> float | None:
        """Return when the next window opens, if none is open now. Both in seconds since 1970."""
        if self._settings is None or not self._settings.windows:
            return None
        return next_opening(self._settings, now)

    async def limited(self, pieces: AsyncIterator[bytes | memoryview]) -> AsyncIterator[bytes | memoryview]:
        """Yield the pieces of a data set, no faster than the limit allows."""
        limit = 0 if self._settings is None else self._settings.bytes_per_second
        if not limit:
            async for piece in pieces:
                yield piece
            return
        most = max(256, int(limit * SLICE_SECONDS)) & ~1  # parts of a data set have even lengths
        loop = asyncio.get_running_loop()
        async for piece in pieces:
            for begin in range(0, len(piece), most):
                part = memoryview(piece)[begin : begin + most]
                now = loop.time()
                if self._free_at > now:
                    await anyio.sleep(self._free_at - now)
                self._free_at = max(self._free_at, now - SLICE_SECONDS) + len(part) / limit
                yield part


def next_opening(settings: PaceSettings, now: float) -> float | None:
    """Return when the next window opens; None: one is open."""
    zone = settings.zone
    today = datetime.fromtimestamp(now, zone).date()
    openings: list[float] = []
    for days in range(-1, DAYS_AHEAD):
        day = today + timedelta(days=days)
        for window in settings.windows:
            if _WEEK[day.weekday()] not in window.days:
                continue
            ends_on = day if window.last > window.first else day + timedelta(days=1)
            start, end = moment(day, window.first, zone), moment(ends_on, window.last, zone)
            if start <= now < end:
                return None
            if now < start < end:
                openings.append(start)
    return min(openings)


def moment(day: date, clock: time, zone: ZoneInfo) -> float:
    """Return when the clocks of a zone first show a time on a day, or a later one where they leave that out."""
    shown = datetime.combine(day, clock)
    at, before = shown.replace(tzinfo=zone).timestamp(), shown.replace(tzinfo=zone, fold=1).timestamp()
    if before >= at:
        return at
    while at - before > 0.5:  # clocks are set forward between the two
        between = (at + before) / 2
        if datetime.fromtimestamp(between, zone).replace(tzinfo=None) < shown:
            before = between
        else:
            at = between
    return float(round(at))
