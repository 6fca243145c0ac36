"""Handlers in the process of an endpoint: the same services, with an address of their own on its connections (ADR 2).

The endpoint asks them by a call instead of by NATS. They stay in their queue groups, too, so endpoints without
handlers of their own have them as well.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio

from dimse_mesh.mesh.discovery import announce
from dimse_mesh.runtime.context import Readiness, ServiceContext
from dimse_mesh.runtime.process import ServiceMain, describe
from dimse_mesh.runtime.telemetry import Telemetry
from dimse_mesh.schemas.addresses import Role
from dimse_mesh.schemas.service import ServiceName


def hosting(main: ServiceMain, handlers: Mapping[ServiceName, ServiceMain]) -> ServiceMain:
    """Return an endpoint's `run` that runs `handlers` beside it, from before its start until after its end."""

    async def run(context: ServiceContext) -> None:
        async with anyio.create_task_group() as tasks:
            draining = anyio.Event()
            for service, handler in handlers.items():
                stands = anyio.Event()
                tasks.start_soon(_host, context, service, handler, draining, stands)
                await stands.wait()
            await main(context)
            draining.set()

    return run


async def _host(
    context: ServiceContext,
    service: ServiceName,
    handler: ServiceMain,
    draining: anyio.Event,
    stands: anyio.Event,
) -> None:
    """Run one handler until `draining`; set `stands` when it takes operations."""
    async with _telemetry(context, service) as telemetry:
        guest = replace(
            context,
            service=service,
            mesh=await context.mesh.acting_as(Role(service.value)),
            telemetry=telemetry,
            readiness=Readiness(stands.set),
            draining=draining,
            host=context.mesh.address,
        )
        await announce(guest.mesh, describe(service, context.settings, context.counters))
        await handler(guest)


@asynccontextmanager
async def _telemetry(context: ServiceContext, service: ServiceName) -> AsyncIterator[Telemetry]:
    """Spans in the name of a handler; its metrics are those of the process."""
    telemetry = Telemetry.from_settings(
        context.settings.observability.model_copy(update={"http": None}),
        service=service,
        zone=context.settings.zone,
        instance=context.instance,
        counters=context.counters,
        environ=os.environ,
        hosted=True,
    )
    try:
        yield telemetry
    finally:
        with anyio.CancelScope(shield=True):
            await telemetry.stop()
