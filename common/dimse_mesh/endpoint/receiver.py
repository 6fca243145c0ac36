"""From the mesh to the peer: segments of the incoming direction become PDUs, in order, as fast as the peer takes them.

What is written counts as consumed and is acknowledged; what isn't stays here, within the window that we granted, and
so the credit of the other side runs out. Answers of our own (an operation that we failed) go out between messages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from dimse_mesh.dimse import (
    CommandField,
    CommandHead,
    CommandSet,
    DimseErrorCode,
    MessageError,
    parse_head,
    response_to,
)
from dimse_mesh.encryption import EncryptionError, OpenSegment
from dimse_mesh.encryption.protection import TAG_LENGTH
from dimse_mesh.endpoint.identity import AssociationIdentity, handler_of
from dimse_mesh.endpoint.operation_message import ApprovedRequest
from dimse_mesh.endpoint.operations import Operation, OperationTable
from dimse_mesh.endpoint.peer import DicomPeer, PeerWatch
from dimse_mesh.endpoint.tracing import OperationTracing
from dimse_mesh.schemas.frames import (
    LAST,
    MESSAGE_HEAD_LENGTH,
    PDUS_HEAD_LENGTH,
    WHOLE,
    Closing,
    FrameError,
    FrameKind,
    decode_message_payload,
    decode_pdus_payload,
    decode_u64,
)
from dimse_mesh.streams.inbound import Arrival, Inbound


class Receiver:
    """Mesh to peer. Blocked until the association is accepted."""

    __slots__ = (
        "_blocked",
        "_dropping",
        "_identity",
        "_local",
        "_mid_message",
        "_now",
        "_on_cancel",
        "_on_close",
        "_on_operation_end",
        "_on_release",
        "_on_request",
        "_operations",
        "_peer",
        "_tracing",
        "_watch",
        "bytes_written",
        "data_at",
        "inbound",
        "open",
        "requests",
    )

    def __init__(
        self,
        *,
        peer: DicomPeer,
        identity: AssociationIdentity,
        inbound: Inbound,
        operations: OperationTable,
        tracing: OperationTracing,
        now: Callable[[], float],
        on_operation_end: Callable[[Operation, int], None],
        on_release: Callable[[FrameKind], None],
        on_close: Callable[[int], None],
        on_cancel: Callable[[int], None],
        on_request: Callable[[CommandHead, memoryview], None] | None = None,
        watch: PeerWatch | None = None,
    ) -> None:
        self._peer = peer
        self._identity = identity
        self._operations = operations
        self._tracing = tracing
        self._now = now
        self._on_operation_end = on_operation_end
        self._on_release = on_release
        self._on_close = on_close
        self._on_cancel = on_cancel
        self._on_request = on_request
        self._watch = watch
        self._blocked = True
        self._mid_message = False
        self._dropping = False
        self._local: deque[tuple[int, bytes]] = deque()
        self.inbound = inbound
        self.open: OpenSegment | None = None
        """Opens what comes, if the association is encrypted."""
        self.bytes_written = 0
        self.data_at = 0.0
        """When a piece of a data set was last passed on: whoever awaits a response sees that something comes."""
        self.requests = 0
        """Requests passed on to the peer, that it has to answer."""

    def unblock(self) -> None:
        """Begin to write: the association stands."""
        self._blocked = False
        self.pump()

    def block(self) -> None:
        """Stop writing for good and forget what was to be written."""
        self._blocked = True
        self._local.clear()
        self.inbound.clear()

    def pump(self) -> None:
        """Write what waits, as long as the peer takes it.

        Raises:
            FrameError: the other endpoint sent a frame that makes no message.
            DimseError: or a command set that isn't one.
            EncryptionError: the association is encrypted, and it wasn't the other endpoint that has sent this.
        """
        peer, inbound = self._peer, self.inbound
        while peer.writable and not self._blocked:
            if self._local and not self._mid_message:
                context_id, answer = self._local.popleft()
                if peer.takes_messages:
                    self.bytes_written += peer.write_message(context_id, answer, None)
                continue
            arrival = inbound.next_segment
            if arrival is None:
                return
            self._pass_on(arrival)
            if self._blocked:
                return
            inbound.consumed_next()

    def _pass_on(self, arrival: Arrival) -> None:
        kind = arrival.kind
        if self.open is not None:
            self._unseal(arrival, self.open)
        if kind == FrameKind.DATA:
            last = bool(arrival.flags & LAST)
            self.data_at = self._now()
            if not self._dropping:
                if not self._mid_message:
                    raise FrameError("data set without its command")
                self.bytes_written += self._peer.write_data(arrival.context_id, arrival.payload, last=last)
                if self._watch is not None:
                    self._watch.data_passed_on(arrival.payload)
            if last:
                self._mid_message = False
                self._dropping = False
        elif kind == FrameKind.MESSAGE:
            self._pass_on_message(arrival)
        elif kind == FrameKind.PDUS:
            self._pass_on_pdus(arrival)
        elif kind in {FrameKind.RELEASE_RQ, FrameKind.RELEASE_RP}:
            self._on_release(FrameKind(kind))
        elif kind == FrameKind.CLOSE:
            self._on_close(arrival.payload[0] if arrival.payload else Closing.WHOLLY)
        elif kind == FrameKind.CANCEL:
            if self._mid_message:
                raise FrameError("CANCEL inside a data set")
            self._on_cancel(arrival.position)
        elif kind == FrameKind.CANCELLED:
            skipped = self._operations.at(decode_u64(arrival.payload))
            if skipped is not None:
                self._operations.remove(skipped)
        # else: a kind that a newer minor version has added; it has had its place in the order

    @staticmethod
    def _unseal(arrival: Arrival, unseal: OpenSegment) -> None:
        """Put what was sent in the place of what was sealed of it."""
        kind, payload = arrival.kind, arrival.payload
        head = command = memoryview(b"")
        if kind == FrameKind.MESSAGE:
            length = MESSAGE_HEAD_LENGTH + len(decode_message_payload(payload)[0])
            head, command = payload[:MESSAGE_HEAD_LENGTH], payload[MESSAGE_HEAD_LENGTH:length]
            payload = payload[length:]
        elif kind == FrameKind.PDUS:
            command, payload = payload[:PDUS_HEAD_LENGTH], payload[PDUS_HEAD_LENGTH:]
        elif kind != FrameKind.DATA:  # not secret, and authenticated
            if len(payload) < TAG_LENGTH:
                raise EncryptionError("encryption-broken")
            command, payload = payload[:-TAG_LENGTH], payload[-TAG_LENGTH:]
        secret = unseal(
            kind,
            arrival.position,
            flags=arrival.flags,
            context_id=arrival.context_id,
            clear=command,
            sealed=payload,
        )
        arrival.payload = memoryview(b"".join((head, command, secret)) if command or head else secret)

    def _pass_on_message(self, arrival: Arrival) -> None:
        if self._mid_message:
            raise FrameError("message inside a data set")
        if not self._peer.takes_messages:
            raise FrameError("message behind a release")
        command, data = decode_message_payload(arrival.payload)
        if isinstance(arrival, ApprovedRequest):
            head = arrival.head
        else:
            head = parse_head(command)
            if not head.is_response and handler_of(head.command_field) is not None:
                raise FrameError("a request past its handler")
        whole = bool(arrival.flags & WHOLE)
        if head.is_response:
            operation = self._operations.get(head.responded_to)
            if operation is not None:
                operation.last_activity = self._now()
                if operation.void:
                    self._drop(operation, ended=not head.is_pending, more=head.has_data_set and not whole)
                    return
                if not head.is_pending:
                    self._on_operation_end(operation, head.status)
        elif head.command_field != CommandField.C_CANCEL_RQ:
            self.requests += 1
            if self._on_request is not None:
                self._on_request(head, memoryview(command))
        if arrival.traceparent is not None and not head.is_response:
            self._tracing.request_passed_on(head, arrival.traceparent, self._identity)
        self._mid_message = head.has_data_set and not whole
        self.bytes_written += self._peer.write_message(
            arrival.context_id, command, data if head.has_data_set and whole else None
        )
        if self._watch is not None and not head.is_response:
            self._watch.request_passed_on(head, command, arrival.context_id)
            if not self._mid_message:
                self._watch.data_passed_on(data)

    def _pass_on_pdus(self, arrival: Arrival) -> None:
        """Pass on whole pending responses."""
        if self._mid_message:
            raise FrameError("messages inside a data set")
        head, pdus = decode_pdus_payload(arrival.payload)
        operation = self._operations.get(head.responded_to)
        if operation is not None:
            operation.last_activity = self._now()
            if operation.void:
                return
        self.bytes_written += self._peer.write_pdus(pdus, largest=head.largest)

    def _drop(self, operation: Operation, *, ended: bool, more: bool) -> None:
        """Swallow a response to an operation that we answered ourselves."""
        if ended:
            self._operations.remove(operation)
        if more:
            self._mid_message = self._dropping = True

    def answer(self, operation: Operation, status: int) -> None:
        """Answer an operation ourselves, between messages.

        Raises:
            MessageError: it has no message id to answer to.
        """
        request = CommandSet.parse(operation.command)
        if request.message_id is None:
            raise MessageError(DimseErrorCode.MISSING_MESSAGE_ID, "a request without MessageID (0000,0110)")
        response = response_to(request, status)
        self._local.append((operation.context_id, response.encode()))
        self.pump()
