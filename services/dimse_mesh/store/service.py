"""C-STORE: who may, and on to the other endpoint; and who keeps and who watches the zone's spools."""

from __future__ import annotations

import anyio

from dimse_mesh.handling import serve_operations
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.store.keeper import keeping
from dimse_mesh.store.stranded import watch_stranded
from dimse_mesh.store.study_watch import watch_studies
from dimse_mesh.store.watch import watch


async def run(context: ServiceContext) -> None:
    """Handle operations until `context.draining` is set.

    Raises:
        StartError: the spools of this zone's durable routes can't be made.
    """
    async with keeping(context) as keeper, anyio.create_task_group() as tasks:
        if keeper is None:
            tasks.start_soon(watch_stranded, context)
        else:
            tasks.start_soon(watch, context, keeper)
        tasks.start_soon(watch_studies, context)
        await serve_operations(context)
        tasks.cancel_scope.cancel()
