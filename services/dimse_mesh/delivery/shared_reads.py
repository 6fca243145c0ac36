"""What the shares of a queue read of their spool: each reads all of it, and it is fetched once (ADR 30)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import anyio

from dimse_mesh.mesh import Batch, JetStream, MeshError


@dataclass(slots=True)
class _Fetched:
    """What was fetched from one place, or is being fetched.

    Attributes:
        asked: when, in seconds of the event loop.
        left: shares that haven't had it.
        batch: None: it isn't there yet, or there was nothing.
    """

    asked: float
    left: int
    batch: Batch | None = None
    size: int = 0
    done: anyio.Event = field(default_factory=anyio.Event)


class SharedReads:
    """Keeps what one share has read until the others, which are about as far, have asked for it.

    Args:
        shares: of the queue.
        most_bytes: of messages that are kept; a share that is further behind reads for itself.
    """

    def __init__(self, jetstream: JetStream, stream: str, *, shares: int, most_bytes: int) -> None:
        self._jetstream = jetstream
        self._stream = stream
        self._shares = shares
        self._most_bytes = most_bytes
        self._fetched: dict[tuple[str, int], _Fetched] = {}
        """By subject and first sequence number, the oldest first."""
        self._bytes = 0

    async def read(self, subject: str, *, first: int, count: int, max_bytes: int) -> tuple[float, Batch]:
        """Return when messages were asked for, in seconds of the event loop, and the messages: as `JetStream.read`.

        There may be more by now: they stand behind.

        Raises:
            MeshTimeout, JetStreamRefusal: as `JetStream.read`.
        """
        place = subject, first
        while (fetched := self._fetched.get(place)) is not None:
            if self._jetstream.was_away_since(fetched.asked):  # other messages may stand there by now
                self._forget(place)
                break
            await fetched.done.wait()
            if fetched.batch is not None:
                self._done_with(place, fetched)
                return fetched.asked, fetched.batch
        return await self._fetch(place, count, max_bytes, left=self._shares - 1)

    async def read_early(self, subject: str, first: int, count: int, max_bytes: int) -> None:
        """Ask for messages that `read` will be asked for, or `give_up`. If it fails, `read` asks for them itself."""
        place = subject, first
        if place not in self._fetched:
            try:
                await self._fetch(place, count, max_bytes, left=self._shares)
            except MeshError:
                return

    def give_up(self, subject: str, first: int) -> None:
        """Note that a share won't read what it has asked for early."""
        place = subject, first
        fetched = self._fetched.get(place)
        if fetched is not None:
            self._done_with(place, fetched)

    def _done_with(self, place: tuple[str, int], fetched: _Fetched) -> None:
        fetched.left -= 1
        if not fetched.left and self._fetched.get(place) is fetched:
            self._forget(place)

    async def _fetch(
        self, place: tuple[str, int], count: int, max_bytes: int, *, left: int
    ) -> tuple[float, Batch]:
        subject, first = place
        fetched = _Fetched(asyncio.get_running_loop().time(), left)
        if fetched.left:
            self._fetched[place] = fetched
        try:
            batch = await self._jetstream.read(
                self._stream, subject, first=first, count=count, max_bytes=max_bytes
            )
            if batch.messages:
                fetched.batch = batch
        finally:
            fetched.done.set()
            is_kept = self._fetched.get(place) is fetched
            if is_kept and fetched.batch is None:  # what comes now isn't to be missed
                self._forget(place)
        if is_kept and batch.messages:
            fetched.size = sum(len(message.payload) for message in batch.messages)
            self._bytes += fetched.size
            self._make_room()
        return fetched.asked, batch

    def _make_room(self) -> None:
        for place, fetched in list(self._fetched.items()):
            if self._bytes <= self._most_bytes:
                return
            if fetched.done.is_set():
                self._forget(place)

    def _forget(self, place: tuple[str, int]) -> None:
        self._bytes -= self._fetched.pop(place).size
