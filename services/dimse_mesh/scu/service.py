"""The executor from its subscriptions to its drained stop."""

from __future__ import annotations

from functools import partial

import anyio

from dimse_mesh.endpoint.process import open_router
from dimse_mesh.mesh import Subscription
from dimse_mesh.policy import ConfiguredPolicy, DecisionPoint, audit_refusals, refusal_log
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.schemas.association import OpenReply, OpenRequest
from dimse_mesh.schemas.subjects import Subject
from dimse_mesh.scu.executor import Executor
from dimse_mesh.scu.origins import LiveOrigins, live_origins
from dimse_mesh.scu.slots import Slots
from dimse_mesh.scu.storage import StoragePlaces


async def run(context: ServiceContext) -> None:
    """Serve the zone's AEs until told to drain, then until their associations have ended, within the drain timeout.

    Raises:
        StartError: a TLS file of a target is unusable, or the library that a place needs is not installed.
    """
    settings = context.settings.scu
    async with anyio.create_task_group() as tasks:
        places = StoragePlaces(settings.remote_aes, tasks, max_pdu_length=settings.max_pdu_length)
        await _serve(context, places, await live_origins(context, tasks))
        tasks.cancel_scope.cancel()


async def _serve(context: ServiceContext, places: StoragePlaces, origins: LiveOrigins | None) -> None:
    settings = context.settings.scu
    async with open_router(
        context,
        operation_timeout=0.0,  # the front-end answers the client when a target says nothing
        peer=settings,
    ) as router:
        slots = Slots(
            context.mesh,
            context.liveness,
            holding=context.associations_by_ae,
            interval=context.settings.liveness.interval,
        )
        await slots.start()
        policy = DecisionPoint(
            ConfiguredPolicy.of(context.settings), (refusal_log(), *audit_refusals(context.audit))
        )
        executor = Executor(context, router, slots, policy, places, origins=origins)
        subjects = context.mesh.subjects
        subscriptions: list[Subscription] = []
        for remote in settings.remote_aes:
            served: list[Subject[OpenRequest, OpenReply]] = [subjects.ae_open(remote.ae_title)]
            if remote.default:
                served.append(subjects.zone_open(context.settings.zone))
            subscriptions += [
                await context.mesh.serve(
                    subject,
                    partial(executor.open, remote),
                    max_concurrent=settings.max_associations,
                )
                for subject in served
            ]
        context.ready()
        await context.draining.wait()
        executor.draining = slots.draining = True
        for subscription in subscriptions:
            await subscription.drain()
        await executor.occupancy.drain(router.patrol.drain, within=settings.drain_timeout)
