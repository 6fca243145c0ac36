"""One operation in a handler: an approved one goes on to the sink unchanged; of a refused one the source is told.

A handler has no state that decides: every instance of the queue group says the same, however often it is asked. It
doesn't rewrite the message, and no response passes through it, so it costs one hop where it has a process of its own,
and nothing for each association but the head of its requests, if that was read lately (docs/adr/0002, docs/adr/0036).
"""

from __future__ import annotations

import logging

from dimse_mesh.dimse import (
    CommandField,
    CommandSet,
    DimseError,
    FailureReason,
    Tag,
    failure_status_for,
    response_to,
)
from dimse_mesh.endpoint.carrier import Carrier
from dimse_mesh.endpoint.identity import dimse_service, handler_of
from dimse_mesh.endpoint.operation_message import read_operation
from dimse_mesh.endpoint.tracing import RPC_SYSTEM
from dimse_mesh.mesh import EnvelopeError, Message, pack
from dimse_mesh.mesh.complaints import Complaints
from dimse_mesh.policy import OperationQuestion, Policy, PolicyRefusal
from dimse_mesh.policy.configured import UNRECOGNIZED
from dimse_mesh.runtime.hosted_handlers import OperationMessage
from dimse_mesh.runtime.logging import InTrace
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
        policy: of this zone.
    """

    __slots__ = ("_complaints", "_mesh", "_policy", "_service", "_telemetry")

    def __init__(
        self,
        *,
        service: ServiceName,
        mesh: Carrier,
        telemetry: Telemetry,
        policy: Policy,
    ) -> None:
        self._service = service
        self._mesh = mesh
        self._telemetry = telemetry
        self._policy = policy
        self._complaints = Complaints(log)

    def handle(self, message: Message) -> bool:
        """Read one operation and decide on it; False: the mesh did not take what was decided."""
        try:
            operation, _ = read_operation(message.payload)
        except (EnvelopeError, DimseError) as error:
            self._complaints.dropped(f"a malformed operation ({error.code})", message.sender)
            return True
        return self.decide(message, operation)

    def decide(self, message: Message, operation: OperationMessage) -> bool:
        """Approve, refuse or drop one operation; False: the mesh did not take what was decided.

        Args:
            operation: what the message says.
        """
        request, head = operation.request, operation.head
        source, sink = message.sender, parse_address(request.sink)
        if source is None or sink is None or not self._may_ask(request, source, sink):
            self._complaints.dropped("an operation, which its sender may not ask for", source)
            return True
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
        own = None if span is None else span.traceparent
        with InTrace(own):
            refusal = self._refusal_of(request, head.command_field, service)
        if refusal is None:
            headers = trace_headers(parent if own is None else own)
            subject = self._mesh.subjects.to(sink, Kind.OP)
            taken = self._mesh.publish(subject, message.payload, headers=headers)
            self._telemetry.end(span)
        else:
            taken = self._refuse(operation, refusal, source)
            self._telemetry.end(span, error_code=refusal.code)
        return taken

    def _may_ask(self, request: OperationRequest, source: InstanceAddress, sink: InstanceAddress) -> bool:
        """Tell whether an operation is of an association of this zone, and comes from one of its two ends."""
        front_end, executor = (source, sink) if request.from_client else (sink, source)
        return (
            request.source == source.tokens
            and front_end.is_front_end
            and front_end.zone == self._mesh.address.zone
            and executor.role is Role.SCU
        )

    def _refusal_of(
        self, request: OperationRequest, command_field: int, service: str
    ) -> PolicyRefusal | None:
        """Return why the operation may not be performed, or None."""
        if handler_of(command_field) is not self._service:
            log.warning("refused %s: the %s handler has no part in it", service, self._service.value)
            return UNRECOGNIZED
        return self._policy.operation(
            OperationQuestion(
                command_field=command_field,
                service=service,
                called_ae=request.called_ae,
                calling_ae=request.calling_ae,
                from_client=request.from_client,
            )
        )

    def _refuse(self, operation: OperationMessage, why: PolicyRefusal, source: InstanceAddress) -> bool:
        request = operation.request
        command_set = CommandSet.parse(operation.command)
        field = command_set.command_field
        tail = b""
        if command_set.message_id is None:  # the source will find that it can't answer
            command_set = command_set.replace({Tag.MessageID: 0})
        if field != CommandField.C_CANCEL_RQ:
            reason = why.reason or FailureReason.NOT_AUTHORIZED
            tail = response_to(command_set, failure_status_for(field, reason)).encode()
        refusal = Refusal(
            association=request.association,
            channel=request.source_channel,
            position=operation.position,
            code=why.code,
        )
        return self._mesh.publish(self._mesh.subjects.to(source, Kind.REFUSED), pack(refusal, tail))
