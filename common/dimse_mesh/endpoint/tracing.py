"""Spans of operations at one end of a link: one trace across front-end, handler and executor."""

from __future__ import annotations

from typing import Any

from dimse_mesh.dimse import CommandHead
from dimse_mesh.endpoint.identity import LinkIdentity, dimse_service
from dimse_mesh.endpoint.operations import Operation
from dimse_mesh.runtime.telemetry import Telemetry

PENDING = frozenset((0xFF00, 0xFF01))
"""Statuses after which more responses follow (PS3.7 §C, PS3.4 §C.4)."""


class OperationTracing:
    """Starts a span for each request of our own peer, and for each that we pass on to it when its sender traces it."""

    __slots__ = ("_passed_on", "_telemetry")

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._passed_on: dict[int, Any] = {}

    def operation_started(self, operation: Operation, service: str, identity: LinkIdentity) -> None:
        """Start the root span of an operation that our peer asks for."""
        if not self._telemetry.tracing:
            return
        span = self._telemetry.start_span(
            service,
            kind="server",
            parent=None,
            root=True,
            attributes={
                "dicom.dimse.service": service,
                "dicom.association": identity.association,
                "dicom.ae.calling": identity.calling_ae,
                "dicom.ae.called": identity.called_ae,
                "dicom.sop_class_uid": operation.head.sop_class,
            },
        )
        operation.span = span
        operation.traceparent = self._telemetry.traceparent(span) if span is not None else None

    def operation_ended(self, operation: Operation, *, status: int, code: str | None = None) -> None:
        """End the root span of an operation."""
        if operation.span is not None:
            self._telemetry.end(operation.span, error_code=code, dicom__status=f"{status:04X}")
            operation.span = None

    def request_passed_on(self, head: CommandHead, traceparent: str, identity: LinkIdentity) -> None:
        """Start the span of a request that our peer is asked now."""
        service = dimse_service(head.command_field)
        span = self._telemetry.start_span(
            service,
            kind="client",
            parent=traceparent,
            attributes={"dicom.dimse.service": service, "dicom.association": identity.association},
        )
        if span is not None:
            self._passed_on[head.message_id] = span

    def response_sent(self, head: CommandHead) -> None:
        """End the span of a request that our peer has answered for good."""
        if self._passed_on and head.status not in PENDING:
            span = self._passed_on.pop(head.responded_to, None)
            if span is not None:
                self._telemetry.end(span, dicom__status=f"{head.status:04X}")

    def close(self) -> None:
        """End every span that is still open."""
        for span in self._passed_on.values():
            self._telemetry.end(span, error_code="association-ended")
        self._passed_on.clear()
