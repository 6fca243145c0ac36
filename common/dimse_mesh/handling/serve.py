"""A handler service from start to drained stop."""

from __future__ import annotations

from dimse_mesh.handling.handler import OperationHandler
from dimse_mesh.policy import ConfiguredPolicy, DecisionPoint, audit_refusals, count_operations, refusal_log
from dimse_mesh.runtime.context import ServiceContext


async def serve_operations(context: ServiceContext) -> None:
    """Take the operations of `context.service` in this zone until told to drain.

    An operation is handled within the callback that receives it, so none is in flight once the subscription
    has ended. A handler that an endpoint's process hosts is asked by that endpoint without the queue group.
    """
    handler = OperationHandler(
        service=context.service,
        mesh=context.mesh,
        telemetry=context.telemetry,
        policy=DecisionPoint(
            ConfiguredPolicy.of(context.settings),
            (refusal_log(), count_operations(context.counters), *audit_refusals(context.audit)),
        ),
    )
    subject = context.mesh.subjects.operations(context.settings.zone, context.service)
    subscription = await context.mesh.subscribe(subject.interest, handler.handle, queue=subject.queue)
    asked_by_host = None if context.host is None else subject.sent_by(context.host)
    if asked_by_host is not None:
        context.hosted[asked_by_host] = handler.decide
    context.ready()
    await context.draining.wait()
    if asked_by_host is not None:
        del context.hosted[asked_by_host]
    await subscription.drain()
