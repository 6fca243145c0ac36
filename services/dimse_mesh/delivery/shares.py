"""A queue in shares: each is delivered on an association of its own, and every study is in one of them.

So a destination that takes several associations gets several studies at once, and each of them in order. One share is
the whole queue, in the order of its arrival.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from dimse_mesh.delivery.queue import DestinationQueue


@dataclass(frozen=True, slots=True)
class Share:
    """One of the parts into which the studies of a queue fall.

    Attributes:
        number: from 0 on.
        of: how many there are.
    """

    number: int = 0
    of: int = 1

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the queue."""
        return self.of == 1

    @property
    def is_first(self) -> bool:
        """Whether it is the one to which everything falls that is of no study."""
        return self.number == 0

    def has(self, study: str) -> bool:
        """Tell whether a study's objects are in it.

        Args:
            study: its token, as it stands in a spool.
        """
        return self.of == 1 or zlib.crc32(study.encode()) % self.of == self.number


class QueueShares:
    """The shares of one queue, told together what concerns the queue."""

    def __init__(self, shares: Sequence[DestinationQueue]) -> None:
        self._shares = tuple(shares)

    def stored(self, subject: str) -> None:
        """Note that a manifest was stored, and on which subject; empty: it isn't known."""
        for share in self._shares:
            share.stored(subject)

    def set_pause(self, payload: bytes) -> None:
        """Heed an operator's word: the message of a `QueuePause`."""
        for share in self._shares:
            share.set_pause(payload)

    def drain(self) -> None:
        """Stop each share after the object that is being sent."""
        for share in self._shares:
            share.drain()

    async def run(self) -> None:
        """Deliver; returns when drained."""
        async with anyio.create_task_group() as tasks:
            for share in self._shares:
                tasks.start_soon(share.run)
