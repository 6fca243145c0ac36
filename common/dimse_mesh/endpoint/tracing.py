"""Spans of an association, and of its operations at one endpoint: one trace across front-end, handler and executor.

    server    at the endpoint whose peer asks                     root, or child of the operation that it serves
    consumer  in the handler (dimse_mesh.handling)                child of the server span
    client    at the endpoint whose peer is asked                 child of the handler's, of the server's for C-ECHO

What the target asks while it performs one operation (a C-GET's C-STOREs) belongs to that operation's trace.
Names and attributes: docs/observability.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dimse_mesh.dimse import CommandHead, StatusCategory, category
from dimse_mesh.endpoint.identity import AssociationIdentity, dimse_service
from dimse_mesh.endpoint.operations import Operation
from dimse_mesh.runtime.span import AttributeValue, RunningSpan
from dimse_mesh.runtime.telemetry import Telemetry
from dimse_mesh.upper_layer import LONGEST_UID

RPC_SYSTEM = "dicom"
INVALID_UID = "invalid"
"""What stands for a UID that isn't one: it could be anything, a name for example."""
_UID_CHARACTERS = frozenset("0123456789.")


def association_span(
    telemetry: Telemetry, association: str, *, calling_ae: str, called_ae: str
) -> RunningSpan | None:
    """Start the span of an association at its front-end; None: it isn't sampled."""
    return telemetry.start_span(
        "association",
        kind="server",
        root=True,
        attributes={
            "dicom.association": association,
            "dicom.ae.calling": calling_ae,
            "dicom.ae.called": called_ae,
        },
    )


class OperationTracing:
    """Starts a span for each request of our own peer, and for each that we pass on to it when its sender traces it."""

    __slots__ = ("_passed_on", "_telemetry")

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._passed_on: dict[int, Any] = {}

    def operation_started(self, operation: Operation, service: str, identity: AssociationIdentity) -> None:
        """Start the span of an operation that our peer asks for."""
        if not self._telemetry.tracing:
            return
        span = self._telemetry.start_span(service, kind="server", parent=self._performed(), root=True)
        if span is not None:
            span.attributes.update(_attributes(operation.head, service, identity))
            operation.span, operation.traceparent = span, span.traceparent

    def _performed(self) -> str | None:
        """Return the trace of the one operation that our peer is performing, if there is exactly one."""
        if len(self._passed_on) != 1:
            return None
        return self._telemetry.traceparent(next(iter(self._passed_on.values())))

    def operation_ended(self, operation: Operation, *, status: int | None, code: str | None = None) -> None:
        """End the span of an operation: with the status that our peer gets, None if it gets none."""
        if operation.span is not None:
            size = None if operation.void or operation.end is None else operation.end - operation.position
            self._end(operation.span, status, code, size)
            operation.span = None

    def request_passed_on(self, head: CommandHead, traceparent: str, identity: AssociationIdentity) -> None:
        """Start the span of a request that our peer is asked now."""
        service = dimse_service(head.command_field)
        span = self._telemetry.start_span(service, kind="client", parent=traceparent)
        if span is not None:
            span.attributes.update(_attributes(head, service, identity))
            self._passed_on[head.message_id] = span

    def response_sent(self, head: CommandHead) -> None:
        """End the span of a request that our peer has answered for good."""
        if self._passed_on and not head.is_pending:
            span = self._passed_on.pop(head.responded_to, None)
            if span is not None:
                self._end(span, head.status)

    def close(self) -> None:
        """End every span that is still open."""
        for span in self._passed_on.values():
            self._end(span, None, "association-ended")
        self._passed_on.clear()

    def _end(self, span: Any, status: int | None, code: str | None = None, size: int | None = None) -> None:
        attributes: dict[str, AttributeValue] = {}
        if status is not None:
            text = f"{status & 0xFFFF:04X}"
            attributes["rpc.response.status_code"] = text
            if code is None and category(status) is StatusCategory.FAILURE:
                code = text
        if size is not None:
            attributes["dicom.message.size"] = size
        self._telemetry.end(span, code, attributes)


def _attributes(
    head: CommandHead, service: str, identity: AssociationIdentity
) -> Mapping[str, AttributeValue]:
    sop_class = head.sop_class
    return {
        "rpc.system.name": RPC_SYSTEM,
        "rpc.method": service,
        "dicom.association": identity.association,
        "dicom.ae.calling": identity.calling_ae,
        "dicom.ae.called": identity.called_ae,
        "dicom.sop_class_uid": sop_class
        if len(sop_class) <= LONGEST_UID and _UID_CHARACTERS.issuperset(sop_class)
        else INVALID_UID,
    }
