"""How many associations an instance holds, and the moment when it holds none."""

from __future__ import annotations

from collections.abc import Callable

import anyio

PATIENCE = 0.75
"""Share of the drain timeout in which associations may end by themselves."""


class Occupancy:
    """A count that can be awaited to come down to zero."""

    __slots__ = ("_empty", "count")

    def __init__(self) -> None:
        self.count = 0
        self._empty = anyio.Event()
        self._empty.set()

    def enter(self) -> None:
        """Count one more."""
        self.count += 1
        if self.count == 1:
            self._empty = anyio.Event()

    def leave(self) -> None:
        """Count one less."""
        self.count -= 1
        if self.count == 0:
            self._empty.set()

    async def drain(self, insist: Callable[[], None], *, within: float) -> None:
        """Wait until nothing is left: three quarters of the time for a natural end, then `insist` on one."""
        with anyio.move_on_after(within):
            with anyio.move_on_after(within * PATIENCE):
                await self.empty()
                return
            insist()
            await self.empty()

    async def empty(self) -> None:
        """Wait until nothing is left."""
        while self.count:
            await self._empty.wait()
