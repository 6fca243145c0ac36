"""The front-end from its listeners to its drained stop."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio

from dimse_mesh.association.admitted import Lead
from dimse_mesh.association.commitment_report import Reporter
from dimse_mesh.association.door import Entrance, FrontDoor, PlainEntrance
from dimse_mesh.association.durable import durable_front_end
from dimse_mesh.association.front_end import FrontEnd
from dimse_mesh.association.tls_entrance import TlsEntrance
from dimse_mesh.association.waiting import Waiting
from dimse_mesh.endpoint import PeerConnection
from dimse_mesh.endpoint.own import ASSOCIATE_LIMIT
from dimse_mesh.endpoint.process import open_router
from dimse_mesh.endpoint.tls import listener_context
from dimse_mesh.policy import ConfiguredPolicy, DecisionPoint, audit_refusals, count_rejections, refusal_log
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.errors import listen_error
from dimse_mesh.runtime.settings_association import Listener
from dimse_mesh.runtime.settings_fields import TlsProfile

log = logging.getLogger(__name__)

LISTEN_BACKLOG = 1024


async def run(context: ServiceContext) -> None:
    """Serve the listeners until told to drain, then until the associations have ended, within the drain timeout.

    Raises:
        StartError: a port is in use, or a TLS file is unusable.
    """
    settings = context.settings.association
    async with listening(context, settings.listeners) as (front_end, doors):
        context.ready()
        await context.draining.wait()
        front_end.stop_admitting()
        if settings.reuse_port:
            _close(doors)  # the kernel gives new connections to the other instances
        await front_end.drain(within=settings.drain_timeout)


@asynccontextmanager
async def local_front_end(context: ServiceContext) -> AsyncIterator[int]:
    """Be a front-end for this very process: yield a port of 127.0.0.1 that nobody else is told."""
    async with listening(context, (Listener(host="127.0.0.1", port=0),)) as (_, doors):
        yield int(doors[0].sockets[0].getsockname()[1])


@asynccontextmanager
async def listening(
    context: ServiceContext, listeners: Sequence[Listener]
) -> AsyncIterator[tuple[FrontEnd, list[FrontDoor]]]:
    """Serve `listeners`; on leaving, close them and abort the associations that are left.

    Raises:
        StartError: a port is in use, or a TLS file is unusable.
    """
    settings = context.settings.association
    async with (
        open_router(
            context,
            operation_timeout=settings.operation_timeout,
            peer=settings,
        ) as router,
        durable_front_end(context, router) as durable,
        anyio.create_task_group() as tasks,
    ):
        policy = DecisionPoint(
            ConfiguredPolicy.of(context.settings),
            (refusal_log(), count_rejections(context.counters), *audit_refusals(context.audit)),
        )
        front_end = FrontEnd(context, router, tasks, policy, durable=durable)
        if context.draining.is_set():  # before the spools were made, perhaps
            front_end.stop_admitting()
        await front_end.callbacks.listen(context.mesh)
        await front_end.hearing.listen()
        if durable is not None:
            reporter = Reporter(lambda: front_end.in_process(Lead.DIRECT))
            tasks.start_soon(durable.report_commitments, reporter)
            tasks.start_soon(durable.look_for_room)
        doors: list[FrontDoor] = []
        try:
            for listener in listeners:
                door = await _listen(listener, front_end, reuse_port=settings.reuse_port)
                doors.append(door)
            yield front_end, doors
        finally:
            _close(doors)
            tasks.cancel_scope.cancel()


async def _listen(listener: Listener, front_end: FrontEnd, *, reuse_port: bool) -> FrontDoor:
    """Listen.

    Raises:
        StartError: the port is in use, or a TLS file is unusable.
    """

    router = front_end.router

    def connection(waiting: Waiting) -> PeerConnection:
        def connected(made: PeerConnection) -> None:
            waiting.lost()
            front_end.connected(made, listener)

        return router.new_connection(max_length=ASSOCIATE_LIMIT, on_connected=connected)

    host, port = listener.host, listener.port
    try:
        entrance: Entrance
        if listener.tls is not None:
            if listener.tls.profile is TlsProfile.LEGACY:
                log.warning(
                    "port %s speaks legacy TLS: whoever records it, and has the time, can decrypt it", port
                )
            entrance = TlsEntrance(
                listener_context(listener.tls), connection, front_end.tls_troubles, router.shares
            )
        else:
            entrance = PlainEntrance(connection)
        door = FrontDoor(entrance, front_end.waiting, router.shares)
        await door.open(host, port, backlog=LISTEN_BACKLOG, reuse_port=reuse_port)
    except OSError as error:
        raise listen_error("association listener", host, port, error) from error
    for sock in door.sockets:
        log.info("listening on %s port %s", *sock.getsockname()[:2])
    return door


def _close(doors: list[FrontDoor]) -> None:
    for door in doors:
        door.close()
    doors.clear()
