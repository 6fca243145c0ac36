"""The keeper: removes from the spools of its zone what a crash has left, pieces of data sets without a manifest.

A front-end that is killed in the middle of an object leaves its pieces; a delivery service that is killed between
two removals, too. Without a manifest they are never delivered, but they take room. They are removed when two looks,
`spool.sweep_interval` apart, have found the same pieces without a manifest: an object that is still coming grows.
"""

from __future__ import annotations

import logging

import anyio

from dimse_mesh.mesh import JetStream, MeshError
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.spools import spools_of
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.spool import SpoolInspector

log = logging.getLogger(__name__)


class Keeper:
    """Looks after the spools of a zone's durable routes."""

    def __init__(self, jetstream: JetStream, spools: tuple[SpoolSubjects, ...]) -> None:
        self._jetstream = jetstream
        self._spools = spools
        self._suspects: dict[SpoolSubjects, dict[str, int]] = {}
        """Pieces without a manifest at the last look, by object id."""

    async def sweep(self) -> int:
        """Look once, and remove what was suspect at the last look, too; return how many objects' pieces went.

        Raises:
            MeshError: a spool can't be seen.
        """
        removed = 0
        for spool in self._spools:
            found = await SpoolInspector(self._jetstream, spool).orphans()
            before = self._suspects.get(spool, {})
            for object_id, count in found.items():
                if before.get(object_id) == count:
                    await self._jetstream.purge(spool.stream, spool.chunk(object_id))
                    removed += 1
            self._suspects[spool] = found
        return removed


async def keep(context: ServiceContext) -> None:
    """Sweep the spools of this zone again and again, until cancelled."""
    settings = context.settings
    spools = spools_of(settings)
    if not spools:
        return
    jetstream = JetStream(context.mesh, domain=settings.spool.domain, deadline=settings.spool.deadline)
    await jetstream.start()
    keeper = Keeper(jetstream, spools)
    while True:
        await anyio.sleep(settings.spool.sweep_interval)
        try:
            removed = await keeper.sweep()
        except MeshError as error:
            log.debug("the spools can't be swept: %s", error)
            continue
        if removed:
            log.info("removed the pieces of %d objects that were never whole", removed)
