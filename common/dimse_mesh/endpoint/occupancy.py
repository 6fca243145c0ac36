"""How many associations an instance holds, and the moment when it holds none."""

from __future__ import annotations

import anyio


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

    async def empty(self) -> None:
        """Wait until nothing is left."""
        while self.count:
            await self._empty.wait()
