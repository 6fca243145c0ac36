"""Read objects back from a spool: manifests in order, and each data set piece by piece against its digest."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dimse_mesh.dimse import CommandSet, DimseError
from dimse_mesh.encryption import EncryptionError
from dimse_mesh.encryption.protection import SEALED_DIGEST_PREFIX
from dimse_mesh.mesh import Batch, EnvelopeError, JetStream, StoredMessage, unpack
from dimse_mesh.schemas.spool import Manifest
from dimse_mesh.schemas.spool_subjects import SpoolSubjects

if TYPE_CHECKING:
    from dimse_mesh.encryption.objects import ObjectEncryption, ObjectOpener

CHUNK_BATCH = 64
"""Chunks asked for at once, at most."""
CHUNK_BYTES = 8 << 20
"""Bytes of chunks asked for at once, at most."""


class DamagedObject(Exception):
    """What the spool holds is not what was acknowledged: pieces are missing, or the digest differs."""


@dataclass(frozen=True, slots=True)
class SpooledObject:
    """An object as its manifest describes it.

    Attributes:
        sequence: of the manifest in the stream.
        subject, message_id: of the same message.
        command: the client's C-STORE-RQ.
        tail: the last piece of its data set.
    """

    sequence: int
    manifest: Manifest
    command: CommandSet
    tail: memoryview
    message: bytes
    """The manifest's message, whole."""
    subject: str = ""
    message_id: str = ""

    def is_in(self, found: StoredMessage) -> bool:
        """Tell whether a message that stands at the object's number is the object's."""
        return found.sequence == self.sequence and found.message_id == self.message_id

    def without_data(self) -> SpooledObject:
        """Return the object without its bytes, for whoever keeps it a while and needs to know only which it is."""
        return replace(self, tail=memoryview(b""), message=b"")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that stands where a manifest should, and is none that this version understands."""

    sequence: int
    why: str


def parse_object(message: StoredMessage) -> SpooledObject | Unreadable:
    """Read the message of a manifest."""
    try:
        manifest, tail = unpack(Manifest, message.payload)
        command = CommandSet.parse(tail[: manifest.command_length])
    except (EnvelopeError, DimseError) as error:
        return Unreadable(message.sequence, error.code)
    return SpooledObject(
        message.sequence,
        manifest,
        command,
        tail[manifest.command_length :],
        message.payload,
        subject=message.subject,
        message_id=message.message_id,
    )


def encryption_refusal(
    encryption: ObjectEncryption | None, spool: SpoolSubjects, spooled: SpooledObject
) -> EncryptionError | None:
    """Return why an object can't be opened, or has to be encrypted and isn't, as far as its manifest shows it.

    Args:
        encryption: of the zone that reads; None: it has none.
    """
    if encryption is not None:
        return encryption.refusal_of(spool, spooled.manifest)
    if spooled.manifest.encryption is not None:
        return EncryptionError(
            "encryption-missing", "it is encrypted, and this zone has no section encryption"
        )
    return None


def _opener_of(
    encryption: ObjectEncryption | None, spool: SpoolSubjects, spooled: SpooledObject
) -> ObjectOpener | None:
    """Return what opens an object's pieces; None: they are in the clear.

    Raises:
        DamagedObject: it can't be opened here, or has to be encrypted and isn't.
    """
    try:
        if encryption is not None:
            return encryption.opener(spool, spooled.manifest, spooled.command.encode())
        refusal = encryption_refusal(None, spool, spooled)
        if refusal is not None:
            raise refusal
    except EncryptionError as error:
        raise DamagedObject(str(error)) from error
    return None


async def read_data_set(
    jetstream: JetStream,
    spool: SpoolSubjects,
    spooled: SpooledObject,
    *,
    encryption: ObjectEncryption | None = None,
) -> AsyncIterator[bytes | memoryview]:
    """Yield an object's data set in pieces. The last piece comes only when the digest of all of them is right.

    Args:
        encryption: of the zone that reads.

    Raises:
        DamagedObject: it isn't, or a piece is missing, or it can't be opened.
        MeshError: NATS is away.
    """
    manifest = spooled.manifest
    unseal = _opener_of(encryption, spool, spooled)
    digest = hashlib.sha256(b"" if unseal is None else SEALED_DIGEST_PREFIX)
    size = number = 0
    held: bytes | memoryview = b""
    async for piece in _pieces(jetstream, spool, spooled):
        digest.update(piece)
        if unseal is not None:
            try:
                piece = unseal(number, piece)  # noqa: PLW2901 - it takes the place of what was sealed
            except EncryptionError as error:
                raise DamagedObject(str(error)) from error
            number += 1
        size += len(piece)
        if held and piece:
            yield held
        held = piece or held
    if size != manifest.size:
        raise DamagedObject(f"{size} of {manifest.size} bytes are there")
    if digest.hexdigest() != manifest.digest:
        raise DamagedObject("its digest is not that of what was acknowledged")
    yield held


async def _pieces(
    jetstream: JetStream, spool: SpoolSubjects, spooled: SpooledObject
) -> AsyncIterator[bytes | memoryview]:
    """Yield the pieces in order; while some are yielded, the next ones are on their way."""
    manifest = spooled.manifest
    source = spool if manifest.shared is None else spool.sharing(manifest.shared)
    subject = source.chunk(manifest.object_id)

    def ask(first: int) -> asyncio.Task[Batch]:
        return asyncio.ensure_future(
            jetstream.read(source.stream, subject, first=first, count=CHUNK_BATCH, max_bytes=CHUNK_BYTES)
        )

    early: dict[int, bytes] = {}
    following = 0
    asked = ask(1) if manifest.chunks else None
    try:
        while asked is not None:
            batch = await asked
            asked = None
            if not batch.messages:
                raise DamagedObject(f"piece {following + 1} of {manifest.chunks} is missing")
            for message in batch.messages:
                # One that was sent again may stand behind its followers, or stand there twice.
                number = _number_of(message.message_id)
                if number is not None and number >= following:
                    early[number] = message.payload
            if following + len(early) < manifest.chunks:
                asked = ask(batch.messages[-1].sequence + 1)
            while following in early:
                yield early.pop(following)
                following += 1
        if following < manifest.chunks:
            raise DamagedObject(f"piece {following + 1} of {manifest.chunks} is missing")
    finally:
        if asked is not None:
            asked.cancel()
    if len(spooled.tail):
        yield spooled.tail


def _number_of(message_id: str) -> int | None:
    """Return which piece of its object a message is; None: whoever stored it has not said."""
    number = message_id.rpartition(".")[2]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else None
