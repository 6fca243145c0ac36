"""The shares of one queue, which are delivered side by side."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from dimse_mesh.delivery.overlap import StoredNotice
from dimse_mesh.delivery.queue import DestinationQueue
from dimse_mesh.schemas.acknowledged import ObjectName


class QueueShares:
    """Tells all shares of one queue what concerns the queue."""

    def __init__(self, shares: Sequence[DestinationQueue]) -> None:
        self._shares = tuple(shares)

    def stored(self, notice: StoredNotice) -> None:
        """Note that a manifest was stored."""
        for share in self._shares:
            share.stored(notice)

    def has_passed(self, name: ObjectName) -> bool:
        """Tell whether the turn of an object is over in its share, and it isn't held back there."""
        return any(share.has_passed(name) for share in self._shares)

    def has_reached(self, sequence: int) -> bool:
        """Tell whether some of what stands behind a sequence number has had its turn."""
        return any(share.has_reached(sequence) for share in self._shares)

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
