"""Look into a spool, and decide about what is in it: what the `queue` commands do."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from dimse_mesh.dimse import CommandSet, DimseError
from dimse_mesh.mesh import (
    EnvelopeError,
    JetStream,
    StoredMessage,
    pack,
    purge_up_to,
    remove_message,
    unpack,
)
from dimse_mesh.schemas.acknowledged import AcknowledgedObjects
from dimse_mesh.schemas.commitment import Fate
from dimse_mesh.schemas.spool import DeadLetter, QueuePause, QueueStatus
from dimse_mesh.schemas.spool_subjects import ANY_TOKEN, Share, SpoolSubjects, StateKind
from dimse_mesh.spool.reader import SpooledObject, Unreadable, parse_object
from dimse_mesh.spool.receipts import Receipts
from dimse_mesh.spool.sharing import Orphans, remove_pieces

BATCH = 256
BATCH_BYTES = 8 << 20
LEAST_WEIGHT = 64 << 10
"""Bytes that a message which was read counts for at least."""


@dataclass(frozen=True, slots=True)
class Buried:
    """A dead letter, and its object."""

    sequence: int
    letter: DeadLetter
    spooled: SpooledObject

    @property
    def is_name_alone(self) -> bool:
        """Whether nothing of its object is left: neither a piece nor its end."""
        manifest = self.letter.manifest
        return not manifest.chunks and not self.spooled.tail and manifest.size > 0


@dataclass(frozen=True, slots=True)
class SpoolSummary:
    """A spool in numbers.

    Attributes:
        size: bytes on disk, dead letters included, and what it needs of the bytes that several destinations share.
        limit: bytes that it may take.
        oldest: when the oldest object that waits was received, in seconds since 1970.
    """

    waiting: int
    failed: int
    size: int
    limit: int
    oldest: float | None
    status: QueueStatus | None
    pause: QueuePause | None


class SpoolInspector:
    """One spool, as an operator sees it. Every method raises `MeshError` when the spool can't be reached."""

    def __init__(self, jetstream: JetStream, spool: SpoolSubjects) -> None:
        self.spool = spool
        self._jetstream = jetstream
        self._read_since: float | None = None
        """When the first message was asked for, in seconds of the event loop."""

    async def summary(self, shares: Iterable[Share] = ()) -> SpoolSummary:
        """Count what is there; `shares`: what the zone's destinations share."""
        name = self.spool.stream
        waiting = await self._jetstream.read(name, self.spool.object(), count=1, max_bytes=1)
        failed = await self._jetstream.read(name, self.spool.failed(), count=1, max_bytes=1)
        info = await self._jetstream.request(f"STREAM.INFO.{name}")
        oldest: float | None = None
        for message in waiting.messages:
            found = parse_object(message)
            if not isinstance(found, Unreadable):
                oldest = found.manifest.received
        return SpoolSummary(
            waiting=len(waiting.messages) + waiting.pending,
            failed=len(failed.messages) + failed.pending,
            size=int(info["state"]["bytes"]) + await self._shared_bytes(shares),
            limit=int(info["config"]["max_bytes"]),
            oldest=oldest,
            status=await self.status(),
            pause=await self.pause(),
        )

    async def _shared_bytes(self, shares: Iterable[Share]) -> int:
        """Return how many of the bytes that several destinations share this one needs.

        By the number of its references, and the mean size of what is shared: looking each object up would take time in
        proportion to the queue.
        """
        size = objects = 0
        for share in shares:
            if self.spool in share.members:
                state = (await self._jetstream.request(f"STREAM.INFO.{share.spool.stream}"))["state"]
                size += int(state["bytes"])
                objects += int(state.get("num_subjects", 0))
        if not objects:
            return 0
        reference = self.spool.reference(ANY_TOKEN)
        needed = await self._jetstream.read(self.spool.stream, reference, count=1, max_bytes=1)
        return size * min(objects, len(needed.messages) + needed.pending) // objects

    async def end(self) -> int:
        """Return the sequence number of the newest message."""
        info = await self._jetstream.request(f"STREAM.INFO.{self.spool.stream}")
        return int(info["state"]["last_seq"])

    async def objects(self, *, first: int = 1, last: int | None = None) -> AsyncIterator[SpooledObject]:
        """Yield the objects that wait, the oldest first, from a sequence number to another one, or to the end."""
        async for message in self._messages(self.spool.object(), first, last):
            found = parse_object(message)
            if not isinstance(found, Unreadable):
                yield found

    async def dead_letters(self, *, first: int = 1, last: int | None = None) -> AsyncIterator[Buried]:
        """Yield the dead letters, the oldest first, from a sequence number to another one, or to the end."""
        async for message in self._messages(self.spool.failed(), first, last):
            buried = _parse_dead_letter(message)
            if buried is not None:
                yield buried

    async def orphans(self) -> Orphans:
        """Return the pieces, and references to pieces, that no manifest tells of.

        An object that is coming in now is among them.
        """
        found: dict[str, int] = {}
        weight = 0
        oldest: list[int] = []
        """Sequence numbers of the first piece, and of the first reference."""
        for kind in (self.spool.chunk(ANY_TOKEN), self.spool.reference(ANY_TOKEN)):
            counts = await self._jetstream.counts(self.spool.stream, kind)
            if counts:
                found |= {subject.rpartition(".")[2]: count for subject, count in counts.items()}
                first = await self._jetstream.read(self.spool.stream, kind, count=1, max_bytes=1)
                oldest.append(first.messages[0].sequence if first.messages else 1)
        if oldest:
            # Manifests stand behind their pieces. In this order: one that is stored meanwhile is seen.
            async for spooled in self.objects(first=min(oldest)):
                found.pop(spooled.manifest.object_id, None)
                weight += max(LEAST_WEIGHT, len(spooled.message))
            async for buried in self.dead_letters(first=min(oldest)):
                found.pop(buried.letter.manifest.object_id, None)
                weight += max(LEAST_WEIGHT, len(buried.spooled.message))
        return Orphans(found, weight)

    async def remove_broken(self, object_id: str) -> bool:
        """Remove the pieces of an object, unless a manifest tells of them; return whether there were any."""
        stream = self.spool.stream
        piece = await self._jetstream.last(stream, self.spool.chunk(object_id))
        piece = piece or await self._jetstream.last(stream, self.spool.reference(object_id))
        if piece is None:
            return False
        # A manifest stands behind the pieces. In this order: one that becomes a dead letter meanwhile is seen.
        async for spooled in self.objects(first=piece.sequence):
            if spooled.manifest.object_id == object_id:
                return False
        async for buried in self.dead_letters(first=piece.sequence):
            if buried.letter.manifest.object_id == object_id:
                return False
        return await self.purge_pieces(object_id) > 0

    async def purge_pieces(self, object_id: str) -> int:
        """Remove the pieces of an object, and its references to shared ones; return how many messages those were."""
        pieces = await self._jetstream.purge(self.spool.stream, self.spool.chunk(object_id))
        return pieces + await self._jetstream.purge(self.spool.stream, self.spool.reference(object_id))

    async def purge_old_names(self, age: float) -> int:
        """Remove names that nobody reads and in front of which no object waits; return how many messages those were.

        A delivery service of a former version reads none.

        Args:
            age: seconds since they were written, at least.
        """
        stream, subject = self.spool.stream, self.spool.acknowledged(ANY_TOKEN)
        began = asyncio.get_running_loop().time()
        waiting = await self._jetstream.read(stream, self.spool.object(), count=1, max_bytes=1)
        end = waiting.messages[0].sequence if waiting.messages else None
        last = 0
        async for message in self._messages(subject, 1, end):
            try:
                written = unpack(AcknowledgedObjects, message.payload)[0].written
            except EnvelopeError:
                written = 0.0
            if written > time.time() - age:
                break
            last = message.sequence
        return await purge_up_to(self._jetstream, stream, subject, last, read=began) if last else 0

    async def retry(self, buried: Buried) -> int:
        """Put a dead letter at the end of the queue; return its sequence number there."""
        manifest = buried.letter.manifest
        sequence = await self._jetstream.publish(
            self.spool.object(
                calling_ae=manifest.calling_ae, study=manifest.study, priority=manifest.priority
            ),
            pack(manifest, buried.spooled.command.encode()),
            bytes(buried.spooled.tail),
            message_id=f"{manifest.object_id}.again.{buried.sequence}",
        )
        await self._remove(buried.spooled)
        return sequence

    async def drop(self, spooled: SpooledObject, *, redirected_to: str = "") -> None:
        """Remove an object, or a dead letter, for good.

        Args:
            redirected_to: the destination that has it now, if one has.
        """
        manifest = spooled.manifest
        fate = Fate.REDIRECTED if redirected_to else Fate.DROPPED
        receipts = Receipts(self._jetstream, self.spool)
        # Of every object, or the delivery service takes it for a lost one.
        await receipts.write(
            manifest, spooled.sequence, fate, redirected_to=redirected_to, whether_or_not_wanted=True
        )
        await self._remove(spooled)
        await remove_pieces(self._jetstream, self.spool, manifest)

    async def _remove(self, spooled: SpooledObject) -> None:
        await remove_message(
            self._jetstream,
            self.spool.stream,
            spooled.sequence,
            is_it=spooled.is_in,
            read=self._read_since,
        )

    async def status(self) -> QueueStatus | None:
        """Return the delivery service's newest word; None: it has never said one."""
        found = await self._jetstream.last(self.spool.state_stream, self.spool.state(StateKind.STATUS))
        try:
            return None if found is None else unpack(QueueStatus, found.payload)[0]
        except EnvelopeError:
            return None

    async def pause(self) -> QueuePause | None:
        """Return the operator's newest word; None: nothing is paused."""
        found = await self._jetstream.last(self.spool.state_stream, self.spool.state(StateKind.PAUSE))
        return None if found is None else pause_in(found.payload)

    async def set_pause(self, pause: QueuePause) -> None:
        """Pause the deliveries, or let them go on."""
        await self._jetstream.publish(
            self.spool.state(StateKind.PAUSE), pack(pause), message_id=uuid.uuid4().hex
        )

    async def _messages(self, subject: str, first: int, last: int | None) -> AsyncIterator[StoredMessage]:
        if self._read_since is None:
            self._read_since = asyncio.get_running_loop().time()
        while True:
            batch = await self._jetstream.read(
                self.spool.stream, subject, first=first, count=BATCH, max_bytes=BATCH_BYTES
            )
            for message in batch.messages:
                if last is not None and message.sequence > last:
                    return
                yield message
            if not batch.messages or not batch.pending:
                return
            first = batch.messages[-1].sequence + 1


def pause_in(payload: bytes) -> QueuePause | None:
    """Return the pause that a message says and that holds now; None: none does."""
    try:
        pause, _ = unpack(QueuePause, payload)
    except EnvelopeError:
        return None
    if not pause.paused or (pause.until is not None and pause.until <= time.time()):
        return None
    return pause


def _parse_dead_letter(message: StoredMessage) -> Buried | None:
    try:
        letter, tail = unpack(DeadLetter, message.payload)
        length = letter.manifest.command_length
        command = CommandSet.parse(tail[:length])
    except (EnvelopeError, DimseError):
        return None
    spooled = SpooledObject(
        message.sequence,
        letter.manifest,
        command,
        tail[length:],
        message.payload,
        subject=message.subject,
        message_id=message.message_id,
    )
    return Buried(message.sequence, letter, spooled)
