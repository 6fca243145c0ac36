"""Who takes the objects of a queue: a destination, or the hooks before one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from dimse_mesh.client import Context
from dimse_mesh.delivery.outcomes import DeliveryOutcome
from dimse_mesh.spool import SpooledObject


class Taker(Protocol):
    """Takes one object after the other."""

    @property
    def is_open(self) -> bool:
        """Whether something is open that is to be closed when nothing waits."""
        ...

    async def deliver(
        self,
        spooled: SpooledObject,
        data_set: AsyncIterator[bytes | memoryview],
        *,
        attempts: int,
        ahead: Iterable[Context],
    ) -> DeliveryOutcome:
        """Take an object; return how it ended.

        Args:
            data_set: the pieces of its data set.
            attempts: which attempt at this object it is, from 1.
            ahead: contexts that objects behind it need.

        Raises:
            MeshError: a spool can't be read or written now.
        """
        ...

    async def close(self) -> None:
        """Close what is open."""

    def abort(self) -> None:
        """Drop what is open, at once."""


class TakerInFront:
    """Stands before a taker and hands everything on to it; what it does besides is in its own `deliver`."""

    def __init__(self, taker: Taker) -> None:
        self._taker = taker

    @property
    def is_open(self) -> bool:
        """As that of the taker behind."""
        return self._taker.is_open

    async def deliver(
        self,
        spooled: SpooledObject,
        data_set: AsyncIterator[bytes | memoryview],
        *,
        attempts: int,
        ahead: Iterable[Context],
    ) -> DeliveryOutcome:
        """Let an object be delivered.

        Raises:
            MeshError: a spool can't be read or written now.
        """
        return await self._taker.deliver(spooled, data_set, attempts=attempts, ahead=ahead)

    async def close(self) -> None:
        """Close what the taker behind has open."""
        await self._taker.close()

    def abort(self) -> None:
        """Drop what the taker behind has open."""
        self._taker.abort()
