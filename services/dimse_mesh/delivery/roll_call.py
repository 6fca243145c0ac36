"""The roll call of one spool: what was acknowledged and isn't there any more becomes a dead letter, `damaged` (ADR 32).

Beside its objects a spool has their names. A name is done with when its object is settled, which this process knows of
its own objects, and receipts of those that a former process had. Of the rest only those are asked for whose turn is
over: so in a queue that is in order nothing is read but names, and those when their objects have had their turn.

    turn over -> PAUSE -> asked for -> missing -> PAUSE -> its leader asked -> missing -> no receipt -> dead letter
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import anyio

from dimse_mesh.delivery.dead_letters import store_dead_letter
from dimse_mesh.delivery.delivery_events import DeliveryEvents
from dimse_mesh.delivery.outcomes import DeliveryCause, DeliveryOutcome, Scope
from dimse_mesh.delivery.settled import SettledObjects
from dimse_mesh.dimse import CommandSet, store_request
from dimse_mesh.mesh import (
    EnvelopeError,
    JetStream,
    JetStreamRefusal,
    MeshError,
    NotPermitted,
    StoredMessage,
    message_of,
    remove_message,
    unpack,
)
from dimse_mesh.schemas.acknowledged import AcknowledgedObjects, ObjectName
from dimse_mesh.schemas.commitment import Fate
from dimse_mesh.schemas.spool import Manifest
from dimse_mesh.schemas.spool_subjects import ANY_TOKEN, SpoolSubjects
from dimse_mesh.spool import Receipts, SpooledObject

log = logging.getLogger(__name__)

MOST_KEPT = 8192
"""Names that are known at once; while so many wait for their objects, no further ones are read."""
BATCH, BATCH_BYTES = 8, 64 << 10
"""Messages of names, and bytes of them, that one request brings."""
MOST_EXAMINED = 64
"""Objects that are looked for at one look."""
STANDS = 60.0
"""Seconds until an object is looked for again that was there, though its turn was over."""
STILL_COMING = 10.0
"""Seconds after an object in which its name is looked for at each look."""
ANEW, ANEW_BESIDE_OTHERS = 20.0, 60.0
"""Seconds between looks for names from the first on while nothing is stored, the second while others are known.

nats-server, when it is killed, may bring removed ones back."""
COMPLAINS_AFTER = 60.0
"""Seconds without a look that succeeds until that is logged."""
GONE = "it was acknowledged, and nothing of it is left in the spool"


class HasTurns(Protocol):
    """A queue, as far as the roll call goes by it."""

    def has_passed(self, name: ObjectName) -> bool:
        """Tell whether an object's turn is over, and it isn't held back."""

    def has_reached(self, sequence: int) -> bool:
        """Tell whether some of what stands behind a sequence number has had its turn."""


@dataclass(eq=False, slots=True)
class _Called:
    """A name whose object isn't settled yet, as far as is known.

    Attributes:
        message: sequence number of the message that it stands in.
        receipts_kept: seconds for which there are receipts.
        due: loop time before which it isn't looked for.
        passed, missed: whether its turn was over, whether it wasn't there, when it was looked at last.
        stood: whether it was there once, so that no former process has settled it.
    """

    name: ObjectName
    message: int
    receipts_kept: float
    due: float = 0.0
    passed: bool = False
    missed: bool = False
    stood: bool = False


class RollCall:
    """Looks for the objects of one spool by their names, until cancelled.

    Args:
        settled: what this process has settled.
        lost: is told of each object that is gone.
        interval: seconds between looks.
        overlap: seconds after the start in which a former process may still settle objects.
    """

    def __init__(
        self,
        jetstream: JetStream,
        spool: SpoolSubjects,
        queue: HasTurns,
        settled: SettledObjects,
        *,
        events: DeliveryEvents,
        lost: Callable[[], None],
        interval: float,
        overlap: float,
    ) -> None:
        self._jetstream = jetstream
        self._spool = spool
        self._queue = queue
        self._settled = settled
        self._events = events
        self._lost = lost
        self._interval = interval
        self._pause = max(1.0, 2 * interval)
        self._receipts = Receipts(jetstream, spool)
        self._overlaps_until = asyncio.get_running_loop().time() + overlap
        self._former = 0
        """Sequence number up to which a former process may have settled objects."""
        self._called: list[_Called] = []
        self._messages: dict[int, int] = {}
        """How many names of a message aren't done with, by its sequence number."""
        self._read_to = 1
        self._read_last = 0
        """Sequence number of the last message of names that was read."""
        self._stored_at = 0.0
        self._read_at = 0.0
        """Loop time at which names are looked for again."""
        self._gap = (0, 0)
        """Sequence numbers, the second not included, between which no object was found at this look."""

    def stored(self) -> None:
        """Note that an object was stored: its name will be."""
        self._stored_at = asyncio.get_running_loop().time()
        self._read_at = 0.0

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        loop = asyncio.get_running_loop()
        succeeded, has_complained = loop.time(), False
        while True:
            try:
                await self._look()
                succeeded, has_complained = loop.time(), False
            except MeshError as error:
                log.debug("%s: no roll call: %s", self._spool, error)
                failing = loop.time() - succeeded
                if failing > COMPLAINS_AFTER and not has_complained:
                    has_complained = True
                    log.warning("%s: no roll call for %.0f s: %s", self._spool, failing, error)
            await anyio.sleep(self._interval)

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self._former or now < self._overlaps_until:
            info = await self._jetstream.request(f"STREAM.INFO.{self._spool.stream}")
            self._former = max(1, int(info["state"]["last_seq"]))
        self._forget_settled()
        await self._read(now)
        self._forget_settled()
        # Before something is looked for: what can't be seen now holds up nothing that is done with.
        refusal = await self._remove_names()
        await self._examine(now)
        if refusal is not None:
            raise refusal

    async def _remove_names(self) -> JetStreamRefusal | None:
        """Remove the messages of which all names are done with; return why one of them can't be.

        Raises:
            MeshError: NATS is away.
        """
        refusal = None
        for sequence in [each for each, left in self._messages.items() if not left]:
            try:
                await remove_message(self._jetstream, self._spool.stream, sequence, is_it=self._is_of_names)
            except JetStreamRefusal as error:
                refusal = error
            else:
                del self._messages[sequence]
        return refusal

    def _is_of_names(self, found: StoredMessage) -> bool:
        return found.subject.startswith(self._spool.acknowledged(""))

    def _forget_settled(self) -> None:
        left = []
        for called in self._called:
            if self._settled.has(called.name.sequence, called.name.object_id):
                self._messages[called.message] -= 1
            else:
                left.append(called)
        self._called = left

    # --- names

    async def _read(self, now: float) -> None:
        """Read names on, up to objects whose turn hasn't come yet.

        Raises:
            MeshError: they can't be read.
        """
        if now < self._read_at:
            return
        while len(self._called) < MOST_KEPT and (
            not self._messages or self._queue.has_reached(self._read_last)
        ):
            batch = await self._jetstream.read(
                self._spool.stream,
                self._spool.acknowledged(ANY_TOKEN),
                first=self._read_to,
                count=BATCH,
                max_bytes=BATCH_BYTES,
            )
            if not batch.messages:
                if now - self._stored_at > STILL_COMING:
                    self._read_at = now + (ANEW_BESIDE_OTHERS if self._messages else ANEW)
                    self._read_to = self._read_last = 1
                return
            for message in batch.messages:
                self._read_to = self._read_last = message.sequence + 1
                if message.sequence in self._messages:
                    continue
                try:
                    said = unpack(AcknowledgedObjects, message.payload)[0]
                except EnvelopeError as error:
                    why = error.code
                    log.error("%s: names are not understood: %s", self._spool, why)  # noqa: TRY400 - as it says
                    continue
                self._messages[message.sequence] = len(said.names)
                self._called += [_Called(name, message.sequence, said.receipts_kept) for name in said.names]

    # --- their objects

    async def _examine(self, now: float) -> None:
        """Look for objects whose turn is over and that aren't settled.

        Raises:
            MeshError: the spool can't be read, or a dead letter can't be stored.
        """
        self._gap = (0, 0)
        examined = 0
        lost: list[ObjectName] = []
        try:
            for called in self._called:
                if called.due > now or not self._queue.has_passed(called.name):
                    continue
                if not called.passed:  # it is being sent, or removed, most likely
                    called.passed, called.due = True, now + self._pause
                    continue
                try:
                    if await self._is_lost(called, now):
                        await self._bury(called.name)
                        lost.append(called.name)
                except MeshError:
                    self._called.remove(called)
                    self._called.append(called)  # one of which nothing can be seen holds up no others
                    raise
                examined += 1
                if examined == MOST_EXAMINED:
                    return
        finally:
            if lost:
                log.error(
                    "%s: %d acknowledged objects are not there any more, object %s first: `dimse-mesh queue damaged` "
                    "names them",
                    self._spool,
                    len(lost),
                    lost[0].object_id,
                )

    async def _is_lost(self, called: _Called, now: float) -> bool:
        """Look for an object once more; tell whether it is certain now that it is lost.

        Raises:
            MeshError: nothing can be seen.
        """
        name = called.name
        is_there = await (self._leader_has(name) if called.missed else self._has(name))
        if self._settled.has(name.sequence, name.object_id):
            return False
        if is_there:
            called.stood, called.missed, called.due = True, False, now + STANDS
            return False
        by_a_former_one = not called.stood and name.sequence <= max(self._former, self._settled.forgotten)
        has_receipt = name.receipt and time.time() < name.received + called.receipts_kept
        if (by_a_former_one and not has_receipt) or await self._receipt_tells(name):
            self._settled.note(name.sequence, name.object_id)
            return False
        if not called.missed:
            called.missed, called.due = True, now + self._pause
            return False
        return True

    async def _has(self, name: ObjectName) -> bool:
        """Tell whether an object is in the spool, as one of the nats-servers that keep it says."""
        sequence, (first, end) = name.sequence, self._gap
        if first <= sequence < end:
            return False
        batch = await self._jetstream.read(
            self._spool.stream, self._spool.object(), first=sequence, count=1, max_bytes=1
        )
        if not batch.messages:
            self._gap = (sequence, 1 << 63)
            return False
        found = batch.messages[0]
        if found.sequence > sequence:
            self._gap = (sequence, found.sequence)
            return False
        return found.message_id.startswith(name.object_id)

    async def _leader_has(self, name: ObjectName) -> bool:
        """Tell whether an object is in the spool, as the stream's leader says: another one may be a little behind."""
        found = await message_of(self._jetstream, self._spool.stream, name.sequence)
        # In a stream that was made anew another object has the number.
        return found is not None and found.message_id.startswith(name.object_id)

    async def _receipt_tells(self, name: ObjectName) -> bool:
        """Tell whether something is known of what has become of an object, or of a later one of the same UID."""
        try:
            return await self._receipts.settled_to(name) >= name.sequence
        except NotPermitted:
            return True  # nothing is called lost that may have been delivered

    async def _bury(self, name: ObjectName) -> None:
        """Put what is known of a lost object among the dead letters.

        Raises:
            MeshError: it can't be stored now.
        """
        spooled = _remains_of(name)
        outcome = DeliveryOutcome(DeliveryCause.DAMAGED, GONE, scope=Scope.DEAD_LETTER)
        await store_dead_letter(self._jetstream, self._spool, spooled, outcome)
        await self._receipts.write(spooled.manifest, name.sequence, Fate.FAILED, cause=outcome.cause.value)
        await self._events.failed(spooled, outcome)
        self._settled.note(name.sequence, name.object_id)
        self._lost()


def _remains_of(name: ObjectName) -> SpooledObject:
    """Return what a dead letter says of an object of which nothing but its name is left."""
    command = _command_of(name)
    manifest = Manifest(
        **name.model_dump(exclude={"sequence"}),
        digest="0" * 64,
        chunks=0,
        command_length=len(command.encode()),
    )
    return SpooledObject(name.sequence, manifest, command, memoryview(b""), b"")


def _command_of(name: ObjectName) -> CommandSet:
    try:
        return store_request(1, sop_class=name.sop_class, sop_instance=name.sop_instance)
    except ValueError:  # UIDs as the client wrote them, which are none
        return store_request(1, sop_class="", sop_instance="")
