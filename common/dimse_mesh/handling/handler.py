"""One operation in a handler: approved, it goes on to the sink as it came; refused, its source is told.

Stateless: whichever instance of the queue group is asked, or asked again, decides the same. The message is not
rewritten on its way, and no response passes here, so a handler costs one hop and no memory (docs/adr/0002).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from dimse_mesh.dimse import (
    CommandField,
    CommandSet,
    DimseError,
    FailureReason,
    Tag,
    failure_status_for,
    parse_head,
    response_to,
)
from dimse_mesh.endpoint.carrier import Carrier
from dimse_mesh.endpoint.identity import dimse_service, handler_of
from dimse_mesh.endpoint.tracing import RPC_SYSTEM
from dimse_mesh.handling.policy import objection
from dimse_mesh.mesh import EnvelopeError, Message, pack, unpack
from dimse_mesh.runtime.counters import APPROVED, Counters
from dimse_mesh.runtime.routing import Route, route_for
from dimse_mesh.runtime.telemetry import Telemetry
from dimse_mesh.runtime.tracing import trace_headers, traceparent_in
from dimse_mesh.schemas.addresses import InstanceAddress, Role, parse_address
from dimse_mesh.schemas.operation import OperationRequest, Refusal
from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.schemas.subjects import Kind

log = logging.getLogger(__name__)


class OperationHandler:
    """Decides and forwards the operations of one service.

    Args:
        service: whose operations; others are refused (PS3.7 §C.5.21, unrecognized operation).
        routes: of this zone, for their `allow`.
    """

    __slots__ = (
        "_counters",
        "_mesh",
        "_routes",
        "_routes_by_titles",
        "_service",
        "_telemetry",
    )

    def __init__(
        self,
        *,
        service: ServiceName,
        mesh: Carrier,
        telemetry: Telemetry,
        counters: Counters,
        routes: Sequence[Route],
    ) -> None:
        self._service = service
        self._mesh = mesh
        self._telemetry = telemetry
        self._counters = counters
        self._routes = routes
        self._routes_by_titles: dict[tuple[str, str], Route] = {}

    def handle(self, message: Message) -> None:
        """Approve or refuse one operation."""
        try:
            request, tail = unpack(OperationRequest, message.payload)
            command = bytes(tail[: request.command_length])
            head = parse_head(command)
        except (EnvelopeError, DimseError) as error:
            log.warning("dropped a malformed operation: %s", error.code)
            return
        source, sink = message.sender, parse_address(request.sink)
        if source is None or sink is None or not self._may_ask(request, source, sink):
            log.warning("dropped an operation that %s may not ask for", source)
            return
        service = dimse_service(head.command_field)
        parent = traceparent_in(message.headers)
        span = None
        if parent is not None:
            span = self._telemetry.start_span(
                f"{self._service.value} {service}",
                kind="consumer",
                parent=parent,
                attributes={
                    "rpc.system.name": RPC_SYSTEM,
                    "rpc.method": service,
                    "dicom.association": request.association,
                },
            )
        reason = self._objection(request, head.command_field)
        if reason is None:
            self._counters.operation_handled(service, APPROVED)
            traceparent = self._telemetry.traceparent(span) or parent
            headers = trace_headers(traceparent)
            self._mesh.publish(self._mesh.subjects.to(sink, Kind.OP), message.payload, headers=headers)
            self._telemetry.end(span)
        else:
            self._counters.operation_handled(service, reason.name.lower())
            self._refuse(request, command, reason, source)
            self._telemetry.end(span, error_code=reason.name.lower())

    def _may_ask(self, request: OperationRequest, source: InstanceAddress, sink: InstanceAddress) -> bool:
        """Tell whether an operation is of an association of this zone, and comes from one of its two ends."""
        front_end, executor = (source, sink) if request.from_client else (sink, source)
        return (
            request.source == source.tokens
            and front_end.is_front_end
            and front_end.zone == self._mesh.address.zone
            and executor.role is Role.SCU
        )

    def _objection(self, request: OperationRequest, command_field: int) -> FailureReason | None:
        """Return why the operation may not be performed, or None."""
        if handler_of(command_field) is not self._service:
            return FailureReason.UNRECOGNIZED_OPERATION
        if not request.from_client:
            return None  # sub-operations and reports belong to what was allowed before
        return objection(self._route(request.called_ae, request.calling_ae), command_field)

    def _route(self, called: str, calling: str) -> Route:
        key = (called, calling)
        route = self._routes_by_titles.get(key)
        if route is None:
            if len(self._routes_by_titles) >= 1024:
                self._routes_by_titles.clear()
            route = self._routes_by_titles[key] = route_for(self._routes, called=called, calling=calling)
        return route

    def _refuse(
        self, request: OperationRequest, command: bytes, reason: FailureReason, source: InstanceAddress
    ) -> None:
        command_set = CommandSet.parse(command)
        field = command_set.command_field
        tail = b""
        if command_set.message_id is None:  # the source will find that it can't answer
            command_set = command_set.replace({Tag.MessageID: 0})
        if field != CommandField.C_CANCEL_RQ:
            tail = response_to(command_set, failure_status_for(field, reason)).encode()
        refusal = Refusal(
            association=request.association,
            channel=request.source_channel,
            position=request.position,
            code=reason.name.lower(),
        )
        self._mesh.publish(self._mesh.subjects.to(source, Kind.REFUSED), pack(refusal, tail))
        log.warning(
            "refused %s of %s to %s: %s",
            dimse_service(field),
            request.calling_ae,
            request.called_ae,
            reason.name.lower(),
        )
