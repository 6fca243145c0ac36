"""How the operations of our own peer end: by the other side's response, by an answer of ours, or without any.

Each ends its span and is counted once.
"""

from __future__ import annotations

import logging

from dimse_mesh.dimse import category
from dimse_mesh.endpoint.identity import dimse_service
from dimse_mesh.endpoint.operations import Operation
from dimse_mesh.endpoint.ports import Half
from dimse_mesh.endpoint.tracing import OperationTracing
from dimse_mesh.runtime.logging import InTrace

log = logging.getLogger(__name__)


class Outcomes:
    """Of the operations of one half."""

    __slots__ = ("_half", "_tracing")

    def __init__(self, half: Half, tracing: OperationTracing) -> None:
        self._half = half
        self._tracing = tracing

    def answered(self, operation: Operation, status: int) -> None:
        """Note the final response of the other side."""
        self._half.operations.remove(operation)
        self._tracing.operation_ended(operation, status=status)
        self._count(operation, category(status))

    def void(self, operation: Operation, status: int, code: str) -> None:
        """Let the mesh answer an operation: with `status`, as soon as our peer has sent all of it."""
        identity = self._half.identity
        with InTrace(operation.traceparent):
            log.warning(
                "%s of %s to %s answered by the mesh: %s",
                dimse_service(operation.head.command_field),
                identity.calling_ae,
                identity.called_ae,
                code,
            )
        operation.void_code = code
        self._half.sender.void(operation, status)

    def answer_void(self, operation: Operation) -> None:
        """Answer an operation that we failed, now that our peer has sent all of it."""
        status = operation.void_status
        assert status is not None
        operation.void_status = None
        self._half.receiver.answer(operation, status)
        self._tracing.operation_ended(operation, status=status, code=operation.void_code)
        self._count(operation, category(status))

    def cut_off(self, code: str) -> None:
        """Note that what is left gets no response: the association has ended."""
        for operation in self._half.operations.clear():
            self._tracing.operation_ended(operation, status=None, code=code)
            if not operation.void or operation.void_status is not None:
                self._count(operation, "aborted")
        self._tracing.close()

    def _count(self, operation: Operation, outcome: str) -> None:
        instance, head = self._half.instance, operation.head
        service = dimse_service(head.command_field)
        self._half.summary.add(service, outcome, head.sop_class)
        instance.counters.operation_finished(
            service,
            outcome,
            instance.now() - operation.started,
            traceparent=operation.traceparent,
        )
