"""Pass an object on from one spool into another: as it is, or as something has changed it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import anyio

from dimse_mesh.dimse import CommandSet
from dimse_mesh.mesh import JetStream, MeshError
from dimse_mesh.runtime.settings_durable import SpoolSettings
from dimse_mesh.schemas.spool import Manifest
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.schemas.tokens import id_of
from dimse_mesh.spool.acknowledged import NoteAcknowledged
from dimse_mesh.spool.reader import DamagedObject
from dimse_mesh.spool.writer import ObjectFacts, ObjectWriter

if TYPE_CHECKING:
    from dimse_mesh.encryption.objects import ObjectEncryption


def id_there(object_id: str, target: SpoolSubjects) -> str:
    """Return the id of an object in another spool: the same each time, so that nothing goes there twice."""
    return id_of(object_id, target.label)


def facts_of(manifest: Manifest) -> ObjectFacts:
    """Return what stays the same of an object in another spool."""
    return {
        "transfer_syntax": manifest.transfer_syntax,
        "called_ae": manifest.called_ae,
        "calling_ae": manifest.calling_ae,
        "received": manifest.received,
        "traceparent": manifest.traceparent,
        "priority": manifest.priority,
        "receipt": manifest.receipt,
        "receipt_for": manifest.receipt_for,
    }


async def pass_on(
    jetstream: JetStream,
    target: SpoolSubjects,
    settings: SpoolSettings,
    command: CommandSet,
    data_set: AsyncIterator[bytes | memoryview],
    *,
    facts: ObjectFacts,
    max_payload: int,
    note: NoteAcknowledged,
    object_id: str | None = None,
    encryption: ObjectEncryption | None = None,
) -> None:
    """Write an object into a spool.

    Args:
        data_set: its pieces.
        facts: what its manifest is to say beside them.
        max_payload: bytes of a message that nats-server accepts.
        note: is told of it when it stands there.
        object_id: of an object that may be written again; None: a new one.
        encryption: of the zone; None: it stands there in the clear.

    Raises:
        DamagedObject, MeshError: nothing of it stands there.
    """
    failure: MeshError | DamagedObject | None = None
    async with anyio.create_task_group() as tasks:
        writer = ObjectWriter(
            jetstream,
            [target],
            settings,
            tasks,
            max_payload=max_payload,
            object_id=object_id,
            encryption=encryption,
        )
        try:
            async for piece in data_set:
                await writer.write(bytes(piece))
            manifest = await writer.commit(command, **facts)
            note(target, manifest, writer.stored[target])
        except (MeshError, DamagedObject) as error:
            failure = error
            tasks.cancel_scope.cancel()
    if failure is not None:
        writer.discard()
        raise failure
