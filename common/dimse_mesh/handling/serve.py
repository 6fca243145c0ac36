"""A handler service from start to drained stop."""

from __future__ import annotations

from dimse_mesh.handling.handler import OperationHandler
from dimse_mesh.policy import ConfiguredPolicy, DecisionPoint, count_operations, refusal_log
from dimse_mesh.runtime.context import ServiceContext


async def serve_operations(context: ServiceContext) -> None:
    """Take the operations of `context.service` in this zone until told to drain.

    An operation is handled within the callback that receives it, so none is in flight once the subscription
    has ended.
    """
    handler = OperationHandler(
        service=context.service,
        mesh=context.mesh,
        telemetry=context.telemetry,
        policy=DecisionPoint(
            ConfiguredPolicy.of(context.settings), (refusal_log(), count_operations(context.counters))
        ),
    )
    subject = context.mesh.subjects.operations(context.settings.zone, context.service)
    subscription = await context.mesh.subscribe(subject.interest, handler.handle, queue=subject.queue)
    context.ready()
    await context.draining.wait()
    await subscription.drain()
