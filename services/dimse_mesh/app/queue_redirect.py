"""`dimse-mesh queue redirect`: objects of one destination go to another one."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence

from dimse_mesh.app.printable import printable
from dimse_mesh.app.queue import Queues, chosen
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.spool import (
    DamagedObject,
    SpooledObject,
    facts_of,
    for_each,
    id_there,
    pass_on,
    read_data_set,
)


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
    found, count = 0, 0

    async def copied() -> AsyncIterator[SpooledObject]:
        # One after the other: they stand there in their order.
        nonlocal found
        async for spooled in chosen(source, ids, failed=not waiting):
            found += 1
            try:
                await _copy(queues, source.spool, target.spool, spooled)
            except DamagedObject as damage:
                print(printable(f"{spooled.manifest.sop_instance} stays: {damage}"), file=sys.stderr)
            else:
                yield spooled

    async def remove(spooled: SpooledObject) -> None:
        nonlocal count
        await source.drop(spooled, redirected_to=other)
        count += 1

    try:
        await for_each(copied(), remove, weight=lambda spooled: len(spooled.message))
    finally:
        print(f"{count} sent to {other} instead of {destination}")
    return int(count < max(len(ids), found))


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
    await pass_on(
        queues.jetstream,
        target,
        queues.settings,
        spooled.command,
        read_data_set(queues.jetstream, source, spooled, encryption=queues.encryption),
        facts={**facts_of(manifest), "called_ae": called, "route": manifest.route},
        max_payload=queues.max_payload,
        note=queues.names.note,
        encryption=queues.encryption,
        object_id=id_there(manifest.object_id, target),
    )
