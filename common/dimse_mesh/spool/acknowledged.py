"""Write down, beside the objects, which ones were acknowledged: a spool's names (ADR 32).

A message that nats-server finds damaged on its disk it drops, and nothing of it is left to say which object that was.
So the names of what was acknowledged stand in the same spool in messages of their own, many in one, until the delivery
service has settled all of them.

Nobody waits for that: an object is acknowledged when it is on disk itself. A process that is killed loses the names of
the last `INTERVAL` seconds. A damaged file may go as a whole, and nats-server, when it was killed, drops the end of one
behind what is damaged. So each name is written once more when another file has begun, and those that stand in one file
so far when nats-server comes back.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from dimse_mesh.mesh import JetStream, JetStreamRefusal, MeshError, NotPermitted, pack
from dimse_mesh.mesh.envelope import MAX_HEAD
from dimse_mesh.schemas.acknowledged import MOST_NAMES, AcknowledgedObjects, ObjectName
from dimse_mesh.schemas.spool import Manifest
from dimse_mesh.schemas.spool_subjects import SpoolSubjects

log = logging.getLogger(__name__)

INTERVAL = 0.25
"""Seconds between two messages of names, at least, unless there are `MOST_NAMES`."""
BLOCK = 8 << 20
"""Bytes of a file of nats-server's store, at most."""
MESSAGE_SIZE = 600
"""Bytes of a small object's message besides its data set, at least."""
MOST_WAITING = 8192
"""Names of one spool that wait to be written; further objects have none."""
PAUSE = 1.0
"""Seconds before names are written again that could not be."""
LAST_SECONDS = 2.0
"""Seconds for what is left when the process stops."""
ROOM_FOR_HEADERS = 4096


class NoteAcknowledged(Protocol):
    """Is told of an object that nats-server has acknowledged."""

    def __call__(self, spool: SpoolSubjects, manifest: Manifest, sequence: int) -> None:
        """Note it; `sequence` is that of its manifest."""


def name_of(manifest: Manifest, sequence: int) -> ObjectName:
    """Return the name of an object."""
    return ObjectName.model_construct(
        sequence=sequence,
        object_id=manifest.object_id,
        sop_class=manifest.sop_class,
        sop_instance=manifest.sop_instance,
        transfer_syntax=manifest.transfer_syntax,
        called_ae=manifest.called_ae,
        calling_ae=manifest.calling_ae,
        study=manifest.study,
        study_instance_uid=manifest.study_instance_uid,
        size=manifest.size,
        received=manifest.received,
        priority=manifest.priority,
        receipt=manifest.receipt,
        receipt_for=manifest.receipt_for,
    )


class AcknowledgedNames:
    """The names that one process has to write; made by `naming`."""

    def __init__(
        self, jetstream: JetStream, tasks: TaskGroup, *, most_bytes: int, receipts_kept: float
    ) -> None:
        self._jetstream = jetstream
        self._tasks = tasks
        self._most_bytes = most_bytes
        self._receipts_kept = receipts_kept
        self._writer = uuid.uuid4().hex
        self._of: dict[SpoolSubjects, _NamesOfOne] = {}

    def note(self, spool: SpoolSubjects, manifest: Manifest, sequence: int) -> None:
        """Note an object of a spool that nats-server has acknowledged."""
        names = self._of.get(spool)
        if names is None:
            names = self._of[spool] = _NamesOfOne(
                self._jetstream,
                spool,
                self._writer,
                most_bytes=self._most_bytes,
                receipts_kept=self._receipts_kept,
            )
            self._tasks.start_soon(names.run)
        size = MESSAGE_SIZE + (0 if manifest.shared else manifest.size)
        names.add(name_of(manifest, sequence), size)

    def came_back(self) -> None:
        """Note that nats-server may have been started anew."""
        for names in self._of.values():
            names.came_back()

    async def write_all(self) -> None:
        """Write what is left; what can't be written at once stays unwritten."""
        async with anyio.create_task_group() as tasks:
            for names in self._of.values():
                tasks.start_soon(names.write_rest)


@asynccontextmanager
async def naming(
    jetstream: JetStream, *, max_payload: int, receipts_kept: float
) -> AsyncIterator[AcknowledgedNames]:
    """Write names for the length of the block, and what is left at its end.

    Args:
        max_payload: bytes of a message that nats-server accepts.
        receipts_kept: seconds for which the zone keeps receipts.
    """
    async with anyio.create_task_group() as tasks:
        names = AcknowledgedNames(
            jetstream,
            tasks,
            most_bytes=min(MAX_HEAD, max_payload - ROOM_FOR_HEADERS),
            receipts_kept=receipts_kept,
        )
        jetstream.on_return(names.came_back)
        try:
            yield names
        finally:
            tasks.cancel_scope.cancel()
            with anyio.move_on_after(LAST_SECONDS, shield=True):
                await names.write_all()


class _NamesOfOne:
    """Those of one spool. A spool that takes nothing holds up no other one."""

    def __init__(
        self,
        jetstream: JetStream,
        spool: SpoolSubjects,
        writer: str,
        *,
        most_bytes: int,
        receipts_kept: float,
    ) -> None:
        self._receipts_kept = receipts_kept
        self._jetstream = jetstream
        self._spool = spool
        self._subject = spool.acknowledged(writer)
        self._most_bytes = most_bytes
        self._names: deque[ObjectName] = deque()
        self._volume = 0
        """Bytes of the objects so far, as they stand in the spool."""
        self._written: deque[tuple[int, list[ObjectName]]] = deque()
        """Names that stand in one file so far, and the volume when they were written."""
        self._writing = anyio.Lock()
        self._some = anyio.Event()
        self._many = anyio.Event()
        self._has_complained = False
        self._times_back = 0
        self._unsure: list[list[ObjectName]] = []
        """Names to be written once more, since nats-server came back."""

    def add(self, name: ObjectName, size: int) -> None:
        self._volume += size
        if len(self._names) >= MOST_WAITING:
            self._complain("they can't be written")
            return
        self._names.append(name)
        self._some.set()
        if len(self._names) >= MOST_NAMES:
            self._many.set()

    def came_back(self) -> None:
        """Note that what stands in one file of nats-server's only may be gone."""
        if self._written:
            self._times_back += 1
            self._unsure = [names for _, names in self._written]
            self._some.set()

    async def run(self) -> None:
        """Write, until cancelled."""
        while True:
            await self._some.wait()
            with anyio.move_on_after(INTERVAL):
                await self._many.wait()
            self._some, self._many = anyio.Event(), anyio.Event()
            done = await self._write() and await self._write_once_more() and await self._write_unsure()
            if not done:
                await anyio.sleep(PAUSE)
            if self._names or self._unsure:
                self._some.set()
            if len(self._names) >= MOST_NAMES:
                self._many.set()

    async def write_rest(self) -> None:
        """Write what is left; the first failure ends that."""
        while self._names and await self._write():
            pass

    async def _write(self) -> bool:
        """Write some names, one message of them; return whether that is done."""
        async with self._writing:
            if not self._names:
                return True
            some = list(self._names)[:MOST_NAMES]
            while len(message := self._packed(some)) > self._most_bytes and len(some) > 1:
                del some[len(some) // 2 :]
            if not await self._publish(message, some, "names"):
                return False
            for _ in some:
                self._names.popleft()
            self._written.append((self._volume, some))
            return True

    async def _write_once_more(self) -> bool:
        """Write names into a second file that stand in one so far; return whether that is done."""
        some: list[ObjectName] = []
        parts = 0
        for volume, names in self._written:
            if volume + BLOCK > self._volume or len(some) + len(names) > MOST_NAMES:
                break
            some += names
            parts += 1  # noqa: SIM113 - how many were taken
        message = self._packed(some) if some else b""
        if len(message) > self._most_bytes:
            some, parts = self._written[0][1], 1
            message = self._packed(some)
        if some and not await self._publish(message, some, "again"):
            return False
        for _ in range(parts):
            self._written.popleft()
        return True

    async def _write_unsure(self) -> bool:
        """Write names again that may be gone; return whether that is done."""
        while self._unsure:
            names = self._unsure[-1]
            if not await self._publish(self._packed(names), names, f"back{self._times_back}"):
                return False
            if self._unsure and self._unsure[-1] is names:
                self._unsure.pop()
        return True

    async def _publish(self, message: bytes, names: list[ObjectName], what: str) -> bool:
        # The id is that of its first object: what is written again stands there once.
        message_id = f"{names[0].object_id}.{names[0].sequence}.{len(names)}.{what}"
        try:
            await self._jetstream.publish(self._subject, message, message_id=message_id)
        except NotPermitted:
            self._complain("this user may not write them, write the server's configuration anew")
            self._names.clear()
            return False
        except JetStreamRefusal as error:
            self._complain(str(error))
            return False
        except MeshError as error:
            log.debug("%s: names can't be written yet: %s", self._spool, error)
            return False
        return True

    def _packed(self, names: list[ObjectName]) -> bytes:
        return pack(
            AcknowledgedObjects.model_construct(
                names=tuple(names), written=time.time(), receipts_kept=self._receipts_kept
            )
        )

    def _complain(self, why: str) -> None:
        if not self._has_complained:
            self._has_complained = True
            log.warning("%s: objects without names, a damaged one may not be told: %s", self._spool, why)
