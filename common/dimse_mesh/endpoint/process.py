"""The one router of an endpoint process, built from its service context."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dimse_mesh.endpoint.router import Router
from dimse_mesh.endpoint.settings import HalfSettings
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.settings_peer import PeerSettings

log = logging.getLogger(__name__)

LEAST_PAYLOAD = 64 * 1024
"""Bytes of a message that nats-server has to accept."""
ROOM_FOR_HEADS = 4 * 1024
"""Bytes of a message that its envelope, its NATS headers and an ordinary command set take."""


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

    Raises:
        StartError: nats-server takes too small messages only.
    """
    mesh = context.settings.mesh
    max_payload = context.mesh.max_payload
    if max_payload < LEAST_PAYLOAD:
        raise StartError(
            f"nats-server's max_payload is {max_payload} bytes: it has to be {LEAST_PAYLOAD} at least"
        )
    largest = (max_payload - ROOM_FOR_HEADS) & ~1
    if largest < mesh.chunk_size:
        log.warning("nats-server's max_payload is %d bytes: chunks are smaller, and cost more", max_payload)
    router = Router(
        mesh=context.mesh,
        liveness=context.liveness,
        telemetry=context.telemetry,
        counters=context.counters,
        hosted=context.hosted,
        settings=HalfSettings(
            window=mesh.window,
            largest_window=max(mesh.window, mesh.largest_window),
            max_buffered=mesh.max_buffered,
            chunk_size=min(mesh.chunk_size, mesh.window // 2, largest),
            inline_limit=min(mesh.inline_limit, largest // 2),
            retransmit_timeout=mesh.retransmit_timeout,
            deadline=mesh.deadline,
            ack_delay=mesh.ack_delay,
            operation_timeout=operation_timeout,
            idle_timeout=peer.idle_timeout,
            stalled_read_timeout=peer.stalled_read_timeout,
            stalled_write_timeout=peer.stalled_write_timeout,
            least_read_rate=peer.least_read_rate,
            max_operations=peer.max_operations,
            least_peer_pdu_length=max(peer.least_peer_pdu_length, 7),
            release_timeout=peer.release_timeout,
            artim_timeout=peer.artim_timeout,
        ),
    )
    async with router.running():
        yield router
