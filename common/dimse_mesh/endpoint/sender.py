"""From the peer to the mesh: DIMSE messages, as PDVs bring them, become segments of the outgoing direction.

A request goes through the queue group of its handler, a response straight to the other endpoint. A data set that
isn't small follows its command in chunks, each sent as soon as it is full: nobody holds a whole object.

States of the message that is under way:

    command read, no data set announced   -> sent whole
    data set, up to the inline limit      -> held, sent whole with its last fragment
    data set beyond it                    -> command sent, then chunks as they fill up
    operation void                        -> the rest of its data set is discarded
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dimse_mesh.dimse import (
    CommandField,
    CommandHead,
    CommandReceived,
    FailureReason,
    MessageAssembler,
    cancel_request,
    failure_status_for,
)
from dimse_mesh.encryption import SealSegment
from dimse_mesh.endpoint import segments
from dimse_mesh.endpoint.chunks import ChunkGatherer
from dimse_mesh.endpoint.courier import Courier
from dimse_mesh.endpoint.identity import AssociationIdentity, dimse_service, handler_of
from dimse_mesh.endpoint.operations import Operation, OperationTable
from dimse_mesh.endpoint.peer import PeerWatch
from dimse_mesh.endpoint.pending import PendingResponses, Run
from dimse_mesh.endpoint.settings import HalfSettings
from dimse_mesh.endpoint.tracing import OperationTracing
from dimse_mesh.policy import Objection
from dimse_mesh.runtime.hosted_handlers import OperationMessage
from dimse_mesh.schemas.frames import Closing, FrameKind, PdusHead
from dimse_mesh.streams.outbound import Budget, Lane, Outbound, Segment
from dimse_mesh.upper_layer import PDU_HEADER_LENGTH

_CANCELLABLE = frozenset((CommandField.C_FIND_RQ, CommandField.C_GET_RQ, CommandField.C_MOVE_RQ))

_LONGEST_RUN = 60 * 1024
"""Bytes of pending responses that are passed on before it is looked whether the turn is over."""

_FIRST_CHUNK = 64 * 1024
"""Bytes of a chunk before it is known what the line carries."""

Translation = Callable[[CommandHead, bytes], bytes]
"""Returns a command set as the other side's peer is to get it."""


class Sender:
    """Peer to mesh. The owner feeds PDVs and acknowledgements, and asks `outbound` when to stop reading.

    Args:
        begun: called when something is about to be under way, and nothing was.
    """

    __slots__ = (
        "_acknowledged",
        "_assembler",
        "_begun",
        "_chunk_size",
        "_command",
        "_command_held",
        "_context_id",
        "_courier",
        "_deferred",
        "_discarding",
        "_gatherer",
        "_head",
        "_identity",
        "_inline_limit",
        "_objection",
        "_on_void_complete",
        "_operation",
        "_origin",
        "_pending",
        "_read_size",
        "_run_end",
        "_settings",
        "_streaming",
        "_tracing",
        "_translate",
        "_watch",
        "_ways",
        "answers",
        "operations",
        "outbound",
        "progress_at",
        "seal",
        "unsent",
    )

    def __init__(
        self,
        *,
        courier: Courier,
        budget: Budget,
        identity: AssociationIdentity,
        settings: HalfSettings,
        operations: OperationTable,
        tracing: OperationTracing,
        acknowledged: Callable[[], int],
        on_void_complete: Callable[[Operation], None],
        begun: Callable[[], None],
        objection: Objection | None = None,
        translate: Translation | None = None,
        watch: PeerWatch | None = None,
    ) -> None:
        self._courier = courier
        self._identity = identity
        self._settings = settings
        self._tracing = tracing
        self._acknowledged = acknowledged
        self._on_void_complete = on_void_complete
        self._begun = begun
        self._objection = objection
        self._translate = translate
        self._watch = watch
        self._assembler = MessageAssembler()
        self._chunk_size = settings.chunk_size & ~1
        self._inline_limit = min(settings.inline_limit, self._chunk_size)
        self._gatherer = ChunkGatherer(self._chunk_for(_FIRST_CHUNK))
        self._read_size = 0
        """Bytes of a read when the size of chunks was last looked at."""
        self._pending = PendingResponses()
        self._origin: segments.RequestOrigin | None = None
        self._ways: dict[int, segments.WayThrough] = {}
        """Of requests, by command field."""
        self._head: CommandHead | None = None
        self._command = b""
        self._context_id = 0
        self._command_held = False
        self._discarding = False
        self._run_end: tuple[int, int, int] | None = None
        """Index behind the last run of this read, the bytes of the read, and the offset behind the run."""
        self._operation: Operation | None = None
        self._streaming = False
        self._deferred: list[Callable[[], None]] = []
        self.operations = operations
        self.outbound = Outbound(settings.window, budget)
        self.answers = 0
        """Final responses of the peer."""
        self.progress_at = 0.0
        self.seal: SealSegment | None = None
        """Encrypts what is sent, if the association is encrypted."""
        self.unsent = False
        """Whether a segment was not taken by the courier."""

    # from the peer

    def pdvs_received(self, pdvs: Iterable[tuple[int, int, memoryview]]) -> None:
        """Take in the PDVs of one P-DATA-TF.

        Raises:
            DimseError: they don't make DIMSE messages (PS3.7 §6.3.1).
        """
        assemble = self._assembler.pdv
        for context_id, flags, fragment in pdvs:
            event = assemble(context_id, flags, fragment)
            if event is None:
                continue
            if isinstance(event, CommandReceived):
                self._command_received(event)
            else:
                self._data_received(event.fragment, last=event.last)

    def pass_on_run(self, pdus: Sequence[tuple[int, memoryview]], index: int, contiguous: memoryview) -> int:
        """Pass on pending responses as they came, if PDU `index` begins some; return the index behind a chunk of them.

        Args:
            pdus: type and body of the PDUs of one read.
            index: of a P-DATA-TF.
            contiguous: the bytes of the last PDUs of the read, those that lay wholly in it.
        """
        if not self._pending.may_repeat(pdus[index][1]) or not self._assembler.idle:
            return index
        if pdus[-1][1].obj is not contiguous.obj:
            return index  # these PDUs were kept from an earlier read
        if self._run_end is not None and self._run_end[:2] == (index, len(contiguous)):
            offset = self._run_end[2]
        else:
            bodies = sum([len(body) for _, body in pdus[index:]])
            offset = len(contiguous) - bodies - PDU_HEADER_LENGTH * (len(pdus) - index)
        if not 0 <= offset < len(contiguous):
            return index
        run = self._pending.run_of(contiguous[offset:], limit=min(self._chunk_size, _LONGEST_RUN))
        if run is None:
            return index
        self._send_run(run)
        behind = index + 2 * run.responses
        self._run_end = behind, len(contiguous), offset + len(run.pdus)
        return behind

    def _send_run(self, run: Run) -> None:
        head = PdusHead(run.largest, self._pending.responded_to)
        self._send(
            segments.run(
                self._identity,
                self.outbound.position,
                self._acknowledged(),
                head=head,
                pdus=run.pdus,
                seal=self.seal,
            )
        )

    @property
    def in_mid_message(self) -> bool:
        """Whether the peer has begun a message and not ended it."""
        return not self._assembler.idle

    def end_of_read(self) -> None:
        """Copy what would be overwritten, and let chunks be no larger than reads: over a thin line both are small."""
        self._run_end = None
        self._gatherer.keep()
        congestion = self.outbound.congestion
        if congestion is not None and congestion.read_size != self._read_size:
            self._read_size = congestion.read_size
            self._gatherer.resize(self._chunk_for(self._read_size))

    def _chunk_for(self, read_size: int) -> int:
        """Return the size of a chunk; an even one, so that the other side's fragments are (PS3.8 §9.3.5.1)."""
        return min(max(read_size, self._inline_limit + 1) & ~1, self._chunk_size)

    def _command_received(self, event: CommandReceived) -> None:
        self._head = event.head
        self._command = (
            event.command if self._translate is None else self._translate(event.head, event.command)
        )
        self._context_id = event.context_id
        self._discarding = False
        self._operation = None
        if self._objection is not None and self._refused_here(event.head, self._objection):
            return
        if event.head.has_data_set:
            self._command_held = True
        else:
            self._send_message((), whole=True)

    def _refused_here(self, head: CommandHead, objection: Objection) -> bool:
        """Refuse a request for which no handler would be asked; it takes no place in the order of segments."""
        if head.is_response or handler_of(head.command_field) is not None:
            return False
        refusal = objection(head.command_field)
        if refusal is None:
            return False
        reason = refusal.reason or FailureReason.NOT_AUTHORIZED
        operation = self._new_operation(head, self.outbound.position, None)
        operation.void = True
        operation.void_status = failure_status_for(head.command_field, reason)
        operation.void_code = refusal.code
        if head.has_data_set:
            self._operation = operation
            self._discarding = True
        else:
            self._on_void_complete(operation)
        return True

    def _data_received(self, fragment: memoryview, *, last: bool) -> None:
        if self._discarding:
            if last:
                self._message_ended()
            return
        gatherer = self._gatherer
        if self._command_held:
            if gatherer.size + len(fragment) <= self._inline_limit:
                for _ in gatherer.add(fragment):
                    raise AssertionError("the inline limit is below the chunk size")
                if last:
                    self._send_message(gatherer.take(), whole=True)
                return
            self._send_message((), whole=False)
        for parts in gatherer.add(fragment):
            self._send_chunk(parts, last=False)
        if last:
            self._send_chunk(gatherer.take(), last=True)
            self._message_ended()

    def _message_ended(self) -> None:
        """Note the end of a message that was not sent whole."""
        operation, self._operation = self._operation, None
        self._discarding = self._streaming = False
        deferred, self._deferred = self._deferred, []
        for send in deferred:
            send()
        if operation is not None:
            operation.end = self.outbound.position
            if operation.void_status is not None:
                self._on_void_complete(operation)

    # to the mesh

    def _send_message(self, data: Sequence[bytes | memoryview], *, whole: bool) -> None:
        head = self._head
        assert head is not None
        self._command_held = False
        self._streaming = not whole
        command, is_response = self._command, head.is_response
        if is_response:
            self.answers += not head.is_pending
            self._tracing.response_sent(head)
            if head.is_pending and head.has_data_set:
                self._pending.remember(self._context_id, command, head.responded_to)
        through = self._through(head.command_field)
        segment = segments.message(
            self._identity,
            self.outbound.position,
            self._acknowledged(),
            context_id=self._context_id,
            command=command,
            data=data,
            whole=whole,
            through=through,
            seal=self.seal,
        )
        if not is_response and head.command_field != CommandField.C_CANCEL_RQ:
            end = segment.position + segment.length if whole else None
            segment.traceparent = self._start_operation(head, segment.position, end)
        says = (
            None
            if through is None
            else OperationMessage(through.origin.request, segment.position, command, head)
        )
        self._send(segment, says)
        if self._watch is not None and is_response:
            self._watch.answered(head)

    def _through(self, command_field: int) -> segments.WayThrough | None:
        way = self._ways.get(command_field)
        if way is None and (service := handler_of(command_field)) is not None:
            if self._origin is None:
                self._origin = segments.request_origin(self._identity)
            subject = self._courier.handler_subject(self._identity.home_zone, service)
            way = self._ways[command_field] = segments.WayThrough(subject, self._origin)
        return way

    def _start_operation(self, head: CommandHead, position: int, end: int | None) -> str | None:
        operation = self._new_operation(head, position, end)
        self.operations.add(operation)
        if end is None:
            self._operation = operation
        return operation.traceparent

    def _new_operation(self, head: CommandHead, position: int, end: int | None) -> Operation:
        now = self._courier.now()
        operation = Operation(
            head=head,
            command=self._command,
            context_id=self._context_id,
            position=position,
            started=now,
            last_activity=now,
            end=end,
        )
        self._tracing.operation_started(operation, dimse_service(head.command_field), self._identity)
        return operation

    def _send_chunk(self, parts: list[bytes | memoryview], *, last: bool) -> None:
        self._send(
            segments.chunk(
                self._identity,
                self.outbound.position,
                self._acknowledged(),
                context_id=self._context_id,
                parts=parts,
                last=last,
                seal=self.seal,
            )
        )

    def send_release(self, kind: FrameKind) -> None:
        """Send an A-RELEASE-RQ or -RP in its place behind the messages."""
        position, acknowledged = self.outbound.position, self._acknowledged()
        self._send(segments.release(self._identity, position, acknowledged, kind=kind, seal=self.seal))

    def send_close(self, how: Closing) -> None:
        """Send the end of our peer's connection in its place behind the messages."""
        position, acknowledged = self.outbound.position, self._acknowledged()
        self._send(segments.close(self._identity, position, acknowledged, how=how, seal=self.seal))

    def send_cancelled(self, position: int) -> None:
        """Tell the other side that a CANCEL came in time, between messages: one is cancelled as a whole."""
        if self._streaming:
            self._deferred.append(lambda: self.send_cancelled(position))
            return
        self._send(
            segments.cancelled(
                self._identity,
                self.outbound.position,
                self._acknowledged(),
                cancel_at=position,
                seal=self.seal,
            )
        )

    def _send(self, segment: Segment, operation: OperationMessage | None = None) -> None:
        remote = self._identity.remote
        assert remote is not None
        if self.outbound.idle:
            self.progress_at = self._courier.now()
            self._begun()
        self.outbound.add(segment)
        if self.unsent or not self._courier.send(remote.instance, segment, operation):
            segment.attempts = 0
            self.unsent = True

    def note_progress(self, now: float) -> None:
        """Begin anew to wait for the other endpoint."""
        self.progress_at = now

    def send_again(
        self, *, unsent_only: bool = False, lane: Lane | None = None, before: int | None = None
    ) -> int:
        """Send what the other side hasn't received, or what was never taken; return how many segments were.

        Args:
            unsent_only: only what the courier never took.
            lane: only what travels so.
            before: only what begins below this position.
        """
        remote = self._identity.remote
        if remote is None:
            return 0
        count = 0
        if lane is None and before is None:
            self.unsent = False
        for segment in self.outbound.unreceived(before):
            if (unsent_only and segment.attempts) or (lane is not None and segment.lane is not lane):
                continue
            if not self._courier.send(remote.instance, segment):
                self.unsent = True
                break
            segment.attempts += 1
            count += 1
        return count

    # operations that we answer ourselves

    def void(self, operation: Operation, status: int) -> None:
        """Answer `operation` with `status` ourselves, as soon as its peer has sent all of it.

        If the other side has received nothing of it, nothing will be sent: it learns that by CANCEL, and says CANCELLED
        unless it had received the operation after all. The operation stays in the table until then, or until its late
        response was dropped, and where responses may be many it is cancelled. One that `is_half_received` can't be
        voided.
        """
        operation.void = True
        operation.void_status = status
        if operation.position >= self.outbound.received:
            self._skip(operation)
        elif operation.head.command_field in _CANCELLABLE:
            self._cancel(operation)
        if operation is self._operation:
            self._discarding = True
            self._gatherer.take()
        else:
            self._on_void_complete(operation)

    def _cancel(self, operation: Operation) -> None:
        """Ask the other side's peer, as ours could, to stop: nobody hears what it still says (PS3.7 §9.3.2.3)."""
        if self._streaming:
            self._deferred.append(lambda: self._cancel(operation))
            return
        segment = segments.message(
            self._identity,
            self.outbound.position,
            self._acknowledged(),
            context_id=operation.context_id,
            command=cancel_request(operation.head.message_id).encode(),
            data=(),
            whole=True,
            through=self._through(CommandField.C_CANCEL_RQ),
            seal=self.seal,
        )
        segment.awaited = False
        self._send(segment)

    def is_half_received(self, operation: Operation) -> bool:
        """Tell whether the other side has begun with an operation that our peer has not sent all of yet."""
        return operation.end is None and operation.position < self.outbound.received

    def _skip(self, operation: Operation) -> None:
        remote = self._identity.remote
        assert remote is not None
        end = operation.end if operation.end is not None else self.outbound.position
        segment = segments.cancel(
            self._identity,
            operation.position,
            self._acknowledged(),
            length=end - operation.position,
            seal=self.seal,
        )
        self.outbound.replace(operation.position, end, segment)
        if not self._courier.send(remote.instance, segment):
            segment.attempts = 0
            self.unsent = True
