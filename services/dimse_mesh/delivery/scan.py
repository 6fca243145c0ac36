"""Read the objects of a spool in their order, ahead of their delivery, so that a long line costs no waiting."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from dimse_mesh.client import Context
from dimse_mesh.delivery.overlap import OverlappingReads, StoredNotice
from dimse_mesh.delivery.share import QueueShare
from dimse_mesh.delivery.shared_reads import SharedReads
from dimse_mesh.mesh import Batch, JetStream, MeshError
from dimse_mesh.runtime.settings_durable import DeliverySettings
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.spool import DamagedObject, SpooledObject, Unreadable, parse_object, read_data_set

if TYPE_CHECKING:
    from dimse_mesh.encryption.objects import ObjectEncryption

MOST_SUBJECTS = 4096
"""Subjects of which is remembered what was read last: of those that were forgotten, nothing is removed in a batch."""
WHOLE_AT_MOST = 4 << 20
"""Bytes of a data set that is read into memory, and checked, before any of it is sent; a larger one is streamed."""


class AheadObject:
    """An object that was read ahead: its manifest, and its data set if that is small.

    Args:
        asked: when its manifest was asked for, in seconds of the event loop: what was removed since then isn't there.
        follows: sequence number of the message that was read before it on its subject, with nothing of that subject
            between them; None: that isn't known.
    """

    def __init__(
        self,
        jetstream: JetStream,
        spool: SpoolSubjects,
        spooled: SpooledObject,
        *,
        asked: float,
        follows: int | None = None,
        encryption: ObjectEncryption | None = None,
    ) -> None:
        self.spooled = spooled
        self.asked = asked
        self.follows = follows
        self._jetstream = jetstream
        self._spool = spool
        self._encryption = encryption
        self._pieces: list[bytes | memoryview] | None = None
        self._failure: MeshError | DamagedObject | None = None
        self._loading: anyio.Event | None = None

    @property
    def weight(self) -> int:
        """The bytes that it takes when its data set was read, too, if that is read ahead at all."""
        manifest = self.spooled.manifest
        is_read_ahead = manifest.chunks > 0 and manifest.size <= WHOLE_AT_MOST
        return len(self.spooled.message) + (manifest.size if is_read_ahead else 0)

    @property
    def may_load(self) -> bool:
        """Whether its data set is to be read ahead, and isn't yet."""
        manifest = self.spooled.manifest
        return self._loading is None and manifest.chunks > 0 and manifest.size <= WHOLE_AT_MOST

    def load_in(self, tasks: TaskGroup) -> None:
        """Begin to read the data set into memory."""
        self._loading = anyio.Event()
        tasks.start_soon(self._load, self._loading)

    async def _load(self, loaded: anyio.Event) -> None:
        try:
            self._pieces = [piece async for piece in self._read()]
        except (MeshError, DamagedObject) as error:
            self._failure = error
        finally:
            loaded.set()

    async def data_set(self) -> AsyncIterator[bytes | memoryview]:
        """Yield the pieces of the data set.

        Raises:
            DamagedObject, MeshError: as `read_data_set`.
        """
        if self._loading is None and self.spooled.manifest.size <= WHOLE_AT_MOST:
            self._loading = anyio.Event()
            await self._load(self._loading)
        if self._loading is None:
            async for piece in self._read():
                yield piece
            return
        await self._loading.wait()
        if self._failure is not None:
            raise self._failure
        for piece in self._pieces or ():
            yield piece

    def _read(self) -> AsyncIterator[bytes | memoryview]:
        return read_data_set(self._jetstream, self._spool, self.spooled, encryption=self._encryption)


def sequence_of(item: AheadObject | Unreadable) -> int:
    """Return the sequence number of what was read."""
    return item.sequence if isinstance(item, Unreadable) else item.spooled.sequence


class ObjectScan:
    """The objects on one subject of a spool, from a sequence number on.

    Args:
        subject: all objects, or those of a calling AE or a study.
        end: the sequence number where it stops; None: it goes on as long as objects come.
        share: whose objects they are; those of others are passed over.
        reads: of all shares of the queue; None: nobody else reads what stands on the subject.
        tasks: in which is read ahead.
        encryption: of our zone; None: it has none.
    """

    def __init__(
        self,
        jetstream: JetStream,
        spool: SpoolSubjects,
        settings: DeliverySettings,
        tasks: TaskGroup,
        *,
        subject: str,
        first: int = 1,
        end: int | None = None,
        share: QueueShare,
        reads: SharedReads | None = None,
        encryption: ObjectEncryption | None = None,
    ) -> None:
        self._share = share
        self._reads = reads or SharedReads(jetstream, spool.stream, shares=1, most_bytes=0)
        self._jetstream = jetstream
        self._spool = spool
        self._settings = settings
        self._tasks = tasks
        self._subject = subject
        self._first = first
        self._end = end
        self._encryption = encryption
        self._ahead: deque[AheadObject | Unreadable] = deque()
        self._reading = anyio.Lock()
        self._overlap = OverlappingReads()
        self._is_hastening = False
        self._read_to = first
        self._newest: dict[str, int] = {}
        """Sequence number of the message that was read last on a subject."""
        self._newest_since = 0.0
        """When the first of those was asked for, in seconds of the event loop."""
        self._epoch = 0
        self._bytes = 0
        """Of the data sets that were read, or are being read."""

    @property
    def position(self) -> int:
        """The sequence number that the next object has at least."""
        return self._first

    @property
    def read_to(self) -> int:
        """The sequence number up to which it was read."""
        return self._read_to

    def contexts_ahead(self) -> Iterator[Context]:
        """Yield the presentation contexts that the objects read ahead need."""
        for item in self._ahead:
            if isinstance(item, AheadObject):
                manifest = item.spooled.manifest
                yield manifest.sop_class, manifest.transfer_syntax

    async def next(self) -> AheadObject | Unreadable | None:
        """Return the next object; None: there is none now.

        Raises:
            MeshError: the spool can't be read.
        """
        if not self._ahead:
            await self._read_on()
        elif self._runs_low:
            self._tasks.start_soon(self._read_on_quietly)
        if not self._ahead:
            self._first = max(self._first, self._read_to)
            return None
        item = self._ahead.popleft()
        sequence = sequence_of(item)
        if isinstance(item, AheadObject):
            if not item.may_load:
                self._bytes -= item.weight
            self._load()
        if self._end is not None and sequence >= self._end:
            self._ahead.clear()
            return None
        self._first = sequence + 1
        return item

    def stored(self, notice: StoredNotice) -> None:
        """Note that an object was stored on the subject: over a long line it is asked for while others are coming."""
        self._overlap.hear(notice)
        if not self._is_hastening and self._overlap.wait(0.0) is not None:
            self._is_hastening = True
            self._tasks.start_soon(self._hasten)

    async def _hasten(self) -> None:
        """Ask for what is heard of while reads are under way."""
        loop = asyncio.get_running_loop()
        try:
            while (wait := self._overlap.wait(loop.time())) is not None:
                await anyio.sleep(wait)
                most, most_bytes = self._room()
                further = self._overlap.further(loop.time(), most=most, most_bytes=most_bytes)
                if further is None:
                    return
                first, count = further
                self._tasks.start_soon(self._reads.read_early, self._subject, first, count, most_bytes)
        finally:
            self._is_hastening = False

    def _room(self) -> tuple[int, int]:
        """Return how many messages, and bytes of them, may be read ahead beside those that were."""
        return self._settings.max_ahead - len(self._ahead), self._settings.read_ahead - self._bytes

    async def look(self) -> bool:
        """Read on if nothing was read ahead; return whether something is."""
        if not self._ahead:
            await self._read_on_quietly()
        return bool(self._ahead)

    def back_to(self, sequence: int) -> None:
        """Go on with the object of that sequence number, read anew."""
        self._epoch += 1
        if sequence != self._read_to:
            self._newest.clear()
        self._ahead.clear()
        self._bytes = 0
        self._first = self._read_to = sequence
        self._give_up(self._overlap.forget())

    def _give_up(self, reads: Iterable[int]) -> None:
        for first in reads:
            self._reads.give_up(self._subject, first)

    @property
    def _runs_low(self) -> bool:
        """Whether less than half of what may be read ahead is there."""
        return (
            len(self._ahead) < self._settings.max_ahead // 2 and self._bytes < self._settings.read_ahead // 2
        )

    async def _read_on_quietly(self) -> None:
        if self._reading.statistics().locked or not self._runs_low:
            return
        try:
            await self._read_on()
        except MeshError:
            return  # the next one who waits for it will hear

    async def _read_on(self) -> None:
        async with self._reading:
            found_some = False
            while not found_some:  # what is read may be of other shares
                read = await self._read()
                if read is None:
                    return
                asked, batch = read
                self._forget_newest(asked)
                for message in batch.messages:
                    follows = self._newest.get(message.subject)
                    self._newest[message.subject] = message.sequence
                    found_some |= self._take(parse_object(message), asked, follows)
            self._load()

    def _forget_newest(self, asked: float) -> None:
        """Forget what was read last, if NATS was away since: another message may follow it now; or if it is too much.

        Args:
            asked: when the next messages were asked for.
        """
        if len(self._newest) > MOST_SUBJECTS or self._jetstream.was_away_since(self._newest_since):
            self._newest.clear()
        self._newest_since = min(self._newest_since, asked) if self._newest else asked

    async def _read(self) -> tuple[float, Batch] | None:
        """Return when the next messages were asked for, and the messages.

        None: there are none, or the scan goes on elsewhere by now.

        Raises:
            MeshError: they can't be read.
        """
        epoch = self._epoch
        loop = asyncio.get_running_loop()
        began = loop.time()
        most, most_bytes = self._room()
        try:
            asked, batch = await self._reads.read(
                self._subject,
                first=self._read_to,
                count=self._overlap.begin(self._read_to, began, most=max(1, most)),
                max_bytes=max(1, most_bytes),
            )
        except MeshError:
            if epoch == self._epoch:
                self._give_up(self._overlap.forget())
            raise
        if epoch != self._epoch:
            return None
        if batch.messages:
            self._read_to = batch.messages[-1].sequence + 1
        took = loop.time() - asked if asked >= began else None
        self._give_up(self._overlap.came(self._read_to, batch.pending, took))
        return (asked, batch) if batch.messages else None

    def _take(self, found: SpooledObject | Unreadable, asked: float, follows: int | None) -> bool:
        """Put what was read behind what was read before, if it is of our share; tell whether it is."""
        if isinstance(found, Unreadable):
            if self._share.is_first:
                self._ahead.append(found)
            return self._share.is_first
        if not self._share.has(found.manifest.study):
            return False
        item = AheadObject(
            self._jetstream, self._spool, found, asked=asked, follows=follows, encryption=self._encryption
        )
        self._ahead.append(item)
        if not item.may_load:
            self._bytes += item.weight
        return True

    def _load(self) -> None:
        """Begin to read the data sets for which there is room, in their order."""
        for item in self._ahead:
            if not isinstance(item, AheadObject) or not item.may_load:
                continue
            if self._bytes + item.weight > self._settings.read_ahead:
                return
            self._bytes += item.weight
            item.load_in(self._tasks)
