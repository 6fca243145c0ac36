"""What handlers make of operations: approved ones for the half of the sink, refused and unserved ones for the source's.

Anybody whose permissions allow it may publish here. So an approval counts only from a handler that owns the operation,
in the home zone of the association that the operation belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dimse_mesh.dimse import (
    CommandSet,
    DimseError,
    FailureReason,
    StatusCategory,
    category,
    failure_status_for,
)
from dimse_mesh.endpoint.identity import handler_of
from dimse_mesh.endpoint.openings import Openings
from dimse_mesh.endpoint.operation_message import ApprovedRequest, read_operation
from dimse_mesh.endpoint.ports import Half
from dimse_mesh.endpoint.timers import HalfTimers
from dimse_mesh.mesh import EnvelopeError, Message, unpack
from dimse_mesh.mesh.complaints import Complaints
from dimse_mesh.runtime.tracing import traceparent_in
from dimse_mesh.schemas.operation import Refusal

_NO_REFUSAL = frozenset((StatusCategory.SUCCESS, StatusCategory.WARNING, StatusCategory.PENDING))
"""What no handler says of an operation that nobody has performed."""


class HandlerAnswers:
    """Gives the answers of handlers to the halves of an instance.

    Args:
        halves: all halves of the instance by channel, as they are when a message comes.
        give_up: ends a half on the other side that can't end in order.
    """

    def __init__(
        self,
        halves: Mapping[int, Half],
        *,
        openings: Openings,
        timers: HalfTimers,
        complaints: Complaints,
        give_up: Callable[[Half], None],
    ) -> None:
        self._halves = halves
        self._openings = openings
        self._timers = timers
        self._complaints = complaints
        self._give_up = give_up

    def approved(self, message: Message) -> None:
        """Give an operation to the half whose peer is to perform it."""
        try:
            operation, frame = read_operation(message.payload)
        except (EnvelopeError, DimseError):
            self._complaints.dropped("a malformed operation", message.sender)
            return
        half = self._halves.get(frame.channel)
        if half is None or half in self._timers.released:
            return
        handler, home_zone = message.sender, half.identity.home_zone
        remote = half.identity.remote
        sources = self._openings.takers(frame.channel) if remote is None else (remote,)
        if (
            handler is None
            or not handler.is_handler_of(handler_of(operation.head.command_field), home_zone)
            or not any(map(operation.request.is_from, sources))
        ):
            self._complaints.dropped("an operation, which its sender may not approve", handler)
            return
        arrival = ApprovedRequest.of(frame, traceparent_in(message.headers), head=operation.head)
        half.operation_approved(arrival, frame.acknowledged)

    def unserved(self, message: Message) -> None:
        """Have a half ask again: nats-server says that the queue group of its operation is empty."""
        channel = message.subject.rpartition(".")[2]
        half = self._halves.get(int(channel)) if message.no_responders and channel.isdecimal() else None
        if half is not None:
            self._timers.ask_handlers_later(half)

    def refused(self, message: Message) -> None:
        """Have the half whose peer asks for an operation answer it with the handler's status."""
        try:
            refusal, tail = unpack(Refusal, message.payload)
            status = CommandSet.parse(bytes(tail)).status
        except (EnvelopeError, DimseError):
            self._complaints.dropped("a malformed refusal", message.sender)
            return
        if status is None or category(status) in _NO_REFUSAL:
            status = failure_status_for(0, FailureReason.NOT_AUTHORIZED)
        half = self._halves.get(refusal.channel)
        if half is None or message.sender is None:
            return
        if half in self._timers.released:
            if message.sender.zone == half.identity.home_zone:
                self._give_up(half)  # the other endpoint waits for what it will never get
        else:
            half.operation_refused(refusal.position, status, refusal.code, by=message.sender)
