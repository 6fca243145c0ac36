"""Durable stores give way to live traffic: a modality can wait for its answer, a reader can't.

A durable store costs several times what a live one does, in this process, in nats-server and in the delivery service,
and would take the machine from live associations beside it. So it pauses in proportion to the time that they want: a
reader's C-ECHO now and then costs it nothing, a stream of images most of its speed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

SLICE: Final = 0.004
"""Seconds of work after which it is looked whether to give way."""
GAIN: Final = 200.0
"""Seconds of pause for each second of this process that live associations took meanwhile."""
MOST: Final = 16.0
"""Seconds of pause at most for each second of work: durable stores go on, whatever is beside them."""
LEAST_PAUSE: Final = 0.002
LONGEST_PAUSE: Final = 1.0
"""Seconds of pause at most at once: what took so long that it would be more was no work, but waiting for NATS."""


class GivingWay:
    """What one durable association asks again and again while it works.

    Args:
        live_seconds: returns how long live associations have had this process, in all.
        clock: seconds.
        sleep: waits so many seconds.
    """

    __slots__ = ("_clock", "_live", "_live_seconds", "_since", "_sleep")

    def __init__(
        self,
        live_seconds: Callable[[], float],
        *,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._live_seconds = live_seconds
        self._clock = asyncio.get_running_loop().time if clock is None else clock
        self._sleep = sleep
        self._since = self._live = 0.0
        self.begin()

    def begin(self) -> None:
        """Note that work begins, after a rest."""
        self._since, self._live = self._clock(), self._live_seconds()

    async def look(self) -> None:
        """Pause, if it is time for that."""
        took = self._clock() - self._since
        if took < SLICE:
            return
        pause = min((self._live_seconds() - self._live) * GAIN, took * MOST, LONGEST_PAUSE)
        if pause >= LEAST_PAUSE:
            await self._sleep(pause)
        self.begin()
