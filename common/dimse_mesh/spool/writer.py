"""Write one object into a spool: pieces first, the manifest last, each acknowledged by nats-server's disk.

A slice is one message, which is written and synced once: its data set stands behind the manifest (ADR 27). What is in
the spool without a manifest doesn't exist: the keeper removes it, at once when it is told to.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, NotRequired, TypedDict, Unpack

import anyio
from anyio.abc import TaskGroup

from dimse_mesh.dimse import CommandSet
from dimse_mesh.encryption.protection import SEALED_DIGEST_PREFIX
from dimse_mesh.mesh import JetStream, JetStreamRefusal, MeshError, pack
from dimse_mesh.runtime.settings_durable import SpoolSettings
from dimse_mesh.schemas.spool import Manifest, RouteKey
from dimse_mesh.schemas.spool_subjects import RoutePriority, SpoolSubjects, share_of, study_token
from dimse_mesh.spool.study import study_instance_uid
from dimse_mesh.upper_layer import LONGEST_UID

if TYPE_CHECKING:
    from dimse_mesh.encryption.objects import ObjectEncryption

SHARED_INLINE_LIMIT = 2048
"""Bytes of a data set that stands with the manifest in the spool of each of several destinations."""
ROOM_FOR_HEADERS = 16 * 1024
"""Bytes of a message that its headers and its manifest may take."""


class ObjectFacts(TypedDict):
    """What a manifest says of an object that its data set and command set don't."""

    transfer_syntax: str
    called_ae: str
    calling_ae: str
    received: float
    traceparent: str | None
    route: NotRequired[RouteKey | None]
    origin: NotRequired[str]
    priority: RoutePriority
    receipt: bool
    receipt_for: NotRequired[tuple[str, str] | None]


class ObjectWriter:
    """Takes an object's data set piece by piece; `commit` returns when the object is safe.

    Args:
        spools: that get its manifest; of several the pieces stand in the stream that they share.
        max_payload: bytes of a message that nats-server accepts.
        tasks: in which pieces are sent while the next ones come.
        object_id: of an object that may be written again; None: a new one.
        encryption: of the zone; None: objects stand in the spool in the clear.
    """

    def __init__(
        self,
        jetstream: JetStream,
        spools: Sequence[SpoolSubjects],
        settings: SpoolSettings,
        tasks: TaskGroup,
        *,
        max_payload: int,
        object_id: str | None = None,
        encryption: ObjectEncryption | None = None,
    ) -> None:
        self._spools = tuple(dict.fromkeys(spools))
        self._is_shared = len(self._spools) > 1
        pieces_in = share_of(self._spools).spool if self._is_shared else self._spools[0]
        self.object_id = object_id or uuid.uuid4().hex
        self._jetstream = jetstream
        self._spool = pieces_in
        self._tasks = tasks
        self._sealer = None if encryption is None else encryption.sealer(self._spools)
        self._room = max_payload - ROOM_FOR_HEADERS
        self._chunk_size = min(settings.chunk_size, self._room) & ~1
        self._inline_limit = SHARED_INLINE_LIMIT if self._is_shared else settings.inline_limit
        self._inline_room = max_payload * 3 // 4 - ROOM_FOR_HEADERS
        """Of a command set and a data set: a stream's leader gives a message out in base64, which is to pass, too."""
        self._window = anyio.Semaphore(max(2, settings.window // self._chunk_size))
        self._digest = hashlib.sha256(b"" if self._sealer is None else SEALED_DIGEST_PREFIX)
        self._parts: list[bytes] = []
        self._gathered = 0
        self._size = 0
        self._chunks = 0
        self._head = b""
        self._under_way = 0
        self._settled = anyio.Event()
        self._failure: MeshError | None = None
        self._may_stand = False
        self.stored: dict[SpoolSubjects, int] = {}
        """Sequence number of the manifest, by spool, as nats-server has acknowledged it."""

    @property
    def size(self) -> int:
        """Bytes of the data set so far."""
        return self._size

    async def write(self, piece: bytes) -> None:
        """Take the next piece; waits while too much is on its way to the disk.

        Raises:
            MeshError: a former piece could not be stored; the object is lost to its client.
        """
        if self._sealer is None:
            self._digest.update(piece)
        self._size += len(piece)
        while self._gathered + len(piece) > self._chunk_size:
            room = self._chunk_size - self._gathered
            self._parts.append(piece[:room])
            piece = piece[room:]
            await self._send_chunk()
        if piece:
            self._parts.append(piece)
            self._gathered += len(piece)

    async def commit(
        self,
        command: CommandSet,
        **facts: Unpack[ObjectFacts],
    ) -> Manifest:
        """Store what is left and the manifest; return when all of it is on disk.

        Raises:
            MeshError: it could not be stored; nothing of it will be delivered.
        """
        encoded = command.encode()
        inline_limit = min(self._inline_limit, self._inline_room - len(encoded))
        if self._gathered and (self._chunks or self._gathered > inline_limit):
            await self._send_chunk()
        is_shared = self._is_shared and self._chunks > 0
        if is_shared:
            # All of them before the first manifest: no destination takes the pieces away from another one.
            for spool in self._spools:
                self._begin(spool.reference(self.object_id), b"", "reference")
        tail = b"".join(self._parts)
        self._head = self._head or tail
        if self._sealer is not None:
            tail = self._sealer.last(self._chunks, tail)
            self._digest.update(tail)
        study = study_instance_uid(self._head, facts["transfer_syntax"])
        while self._under_way and self._failure is None:
            await self._settled.wait()
        self._raise_failure()
        manifest = Manifest(
            object_id=self.object_id,
            sop_class=command.affected_sop_class_uid or "",
            sop_instance=command.affected_sop_instance_uid or "",
            **facts,
            study=study_token(study),
            study_instance_uid=study if len(study) <= LONGEST_UID else "",
            size=self._size,
            digest=self._digest.hexdigest(),
            chunks=self._chunks,
            command_length=len(encoded),
            shared=self._spool.name if is_shared else None,
        )
        if self._sealer is not None:
            head = self._sealer.head(manifest, encoded)
            manifest = manifest.model_copy(update={"encryption": head})
        self._may_stand = True
        message = pack(manifest, encoded)

        async def announce(spool: SpoolSubjects) -> None:
            self.stored[spool] = await self._jetstream.publish(
                spool.object(
                    calling_ae=manifest.calling_ae, study=manifest.study, priority=manifest.priority
                ),
                message,
                tail,
                message_id=self.object_id,
            )

        try:
            await (self._in_each(announce) if len(self._spools) > 1 else announce(self._spools[0]))
        except JetStreamRefusal:
            self._may_stand = self._is_shared  # another spool may have taken its own
            raise
        return manifest

    async def _in_each(self, store: Callable[[SpoolSubjects], Awaitable[None]]) -> None:
        """Store a message in each spool at once.

        Raises:
            MeshError: one of them could not take it.
        """
        failures: list[MeshError] = []

        async def attempt(spool: SpoolSubjects) -> None:
            try:
                await store(spool)
            except MeshError as error:
                failures.append(error)

        async with anyio.create_task_group() as tasks:
            for spool in self._spools:
                tasks.start_soon(attempt, spool)
        if failures:
            raise next((each for each in failures if not isinstance(each, JetStreamRefusal)), failures[0])

    def discard(self) -> None:
        """Tell the keeper that an object will not be committed, so that its pieces are removed.

        Where the manifest was sent and no answer came, the object may be: then it stays whole, and is delivered.
        """
        if bool(self._chunks) != self._may_stand:  # without pieces it says that a spool may be frozen
            for spool in dict.fromkeys((*self._spools, self._spool)):
                self._jetstream.tell(spool.broken(self.object_id))

    async def _send_chunk(self) -> None:
        self._raise_failure()
        chunk = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts, self._gathered = [], 0
        self._head = self._head or chunk
        await self._window.acquire()
        number, self._chunks = self._chunks, self._chunks + 1
        if self._sealer is not None:
            chunk = self._sealer.piece(number, chunk)
            self._digest.update(chunk)
        self._begin(self._spool.chunk(self.object_id), chunk, str(number), stored=self._window.release)

    def _begin(
        self, subject: str, payload: bytes, what: str, *, stored: Callable[[], None] = lambda: None
    ) -> None:
        """Begin to store what the manifest must stand behind.

        Args:
            what: tells it apart from what else there is of the object.
            stored: is called when nothing is to be waited for any more.
        """
        self._under_way += 1
        self._tasks.start_soon(self._store, subject, payload, what, stored)

    async def _store(self, subject: str, payload: bytes, what: str, stored: Callable[[], None]) -> None:
        try:
            await self._jetstream.publish(subject, payload, message_id=f"{self.object_id}.{what}")
        except MeshError as error:
            self._failure = error
        finally:
            self._under_way -= 1
            stored()
            self._settled.set()
            self._settled = anyio.Event()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
