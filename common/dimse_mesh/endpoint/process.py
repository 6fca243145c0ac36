"""The one router of an endpoint process, built from its service context."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dimse_mesh.endpoint.router import Router
from dimse_mesh.endpoint.settings import HalfSettings
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.settings_peer import PeerSettings


@asynccontextmanager
async def open_router(
    context: ServiceContext,
    *,
    operation_timeout: float,
    peer: PeerSettings,
) -> AsyncIterator[Router]:
    """Run the process's router; on leaving, the halves that are left are aborted on both sides.

    Args:
        peer: limits and deadlines that peers are set.
    """
    mesh = context.settings.mesh
    router = Router(
        mesh=context.mesh,
        liveness=context.liveness,
        telemetry=context.telemetry,
        counters=context.counters,
        settings=HalfSettings(
            window=mesh.window,
            max_buffered=mesh.max_buffered,
            chunk_size=mesh.chunk_size,
            inline_limit=mesh.inline_limit,
            retransmit_timeout=mesh.retransmit_timeout,
            deadline=mesh.deadline,
            ack_delay=mesh.ack_delay,
            operation_timeout=operation_timeout,
            idle_timeout=peer.idle_timeout,
            stalled_read_timeout=peer.stalled_read_timeout,
            stalled_write_timeout=peer.stalled_write_timeout,
            least_read_rate=peer.least_read_rate,
            max_operations=peer.max_operations,
            release_timeout=peer.release_timeout,
            artim_timeout=peer.artim_timeout,
        ),
    )
    async with router.running():
        yield router
