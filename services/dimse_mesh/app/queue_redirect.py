"""`dimse-mesh queue redirect`: objects of one destination go to another one."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence

import anyio

from dimse_mesh.app.printable import printable
from dimse_mesh.app.queue import Queues, chosen
from dimse_mesh.mesh import MeshError
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.spool import DamagedObject, ObjectWriter, SpooledObject, read_data_set


async def redirect(queues: Queues, destination: str, other: str, ids: Sequence[str], *, waiting: bool) -> int:
    """Put objects into the queue of another destination: those that are named, or all dead letters.

    Each is on disk there before it is removed here. One that is damaged stays.

    Raises:
        StartError: no durable route leads to one of the two, or they are the same.
    """
    source, target = queues.inspector(destination), queues.inspector(other)
    if source.spool == target.spool:
        raise StartError(f"{destination} is the destination already")
    if source.spool.is_before_hooks != target.spool.is_before_hooks:
        raise StartError("what waits for hooks goes where it waits for hooks, and nothing else does")
    meant = await chosen(source, ids, failed=not waiting)
    count = 0
    for spooled in meant:
        try:
            await _copy(queues, source.spool, target.spool, spooled)
        except DamagedObject as damage:
            print(printable(f"{spooled.manifest.sop_instance} stays: {damage}"), file=sys.stderr)
            continue
        await source.drop(spooled, redirected_to=other)
        count += 1
    print(f"{count} sent to {other} instead of {destination}")
    return int(count < max(len(ids), len(meant)))


async def _copy(queues: Queues, source: SpoolSubjects, target: SpoolSubjects, spooled: SpooledObject) -> None:
    """Write an object into another spool.

    Raises:
        DamagedObject: it is not what was acknowledged.
        MeshError: it can't be read, or written.
    """
    manifest = spooled.manifest
    called = manifest.called_ae
    if source.kind is target.kind and called == source.name:
        called = target.name  # its own title, where the client has said the other's
    failure: MeshError | DamagedObject | None = None
    async with anyio.create_task_group() as tasks:
        writer = ObjectWriter(
            queues.jetstream,
            [target],
            queues.settings,
            tasks,
            max_payload=queues.max_payload,
            object_id=_id_there(manifest.object_id, target),
        )
        try:
            async for piece in read_data_set(queues.jetstream, source, spooled):
                await writer.write(bytes(piece))
            await writer.commit(
                spooled.command,
                transfer_syntax=manifest.transfer_syntax,
                called_ae=called,
                calling_ae=manifest.calling_ae,
                received=manifest.received,
                traceparent=manifest.traceparent,
                priority=manifest.priority,
                receipt=manifest.receipt,
                receipt_for=manifest.receipt_for,
                route=manifest.route,
            )
        except (MeshError, DamagedObject) as error:
            failure = error
            tasks.cancel_scope.cancel()
    if failure is not None:
        writer.discard()
        raise failure


def _id_there(object_id: str, target: SpoolSubjects) -> str:
    """Return the object's id in the other spool: the same when the command is given again after it was broken off."""
    text = f"{object_id} {target.label}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
