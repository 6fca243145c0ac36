"""One end of a link: a peer's association on one side, two ordered directions on the other.

States, beside those of PS3.8 that `AssociationMachine` keeps for the peer's side:

    OPENING     the channel exists; what comes early from the other endpoint is kept, nothing written
    LINKED      `establish` was called: data flow both ways
    ENDED       released, aborted or lost: nothing is read or written; kept only until the other endpoint knows

Whoever ends the association first tells the other endpoint: in order for a release, at once for
an abort (ABORT, repeated by the router until it is answered).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum

from dimse_mesh.dimse import DimseError, FailureReason, category, failure_status_for
from dimse_mesh.endpoint.connection import PeerConnection
from dimse_mesh.endpoint.identity import LinkIdentity, dimse_service
from dimse_mesh.endpoint.inbound import Arrival, Inbound, WindowOverrun
from dimse_mesh.endpoint.operations import Operation, OperationTable
from dimse_mesh.endpoint.outbound import OutboundError, Route
from dimse_mesh.endpoint.receiver import Receiver
from dimse_mesh.endpoint.router import Router
from dimse_mesh.endpoint.sender import Objection, Sender
from dimse_mesh.endpoint.tracing import OperationTracing
from dimse_mesh.runtime.counters import Load
from dimse_mesh.schemas.association import Endpoint
from dimse_mesh.schemas.frames import (
    WHOLE,
    Frame,
    FrameError,
    FrameKind,
    decode_u64,
    encode_u32,
    segment_span,
)
from dimse_mesh.upper_layer import (
    RELEASE_RP_PDU,
    RELEASE_RQ_PDU,
    Abort,
    AbortReason,
    AbortSource,
    Action,
    AssociationMachine,
    Event,
    FramingError,
    PduType,
    State,
    UpperLayerError,
    check_release,
    iter_pdvs,
)

log = logging.getLogger(__name__)

_READ_SLACK = 4 * 1024 * 1024
"""What one read of a socket may add to a full window: receive buffer, a PDU under way and a chunk, each at its most."""
_SHORTEST_PDU = 7
"""A PDV's header is 6 bytes long (PS3.8 §9.3.5.1): below this Maximum Length nothing can be said to a peer."""
_RECEIVING = frozenset((State.STA6, State.STA7))
"""States in which P-DATA-TF may come (PS3.8 table 9-10)."""

_PROBE_BACKOFF = 2
"""Retransmission timeouts without progress between probes, from the second probe on."""
_RESEND_PAUSE = 0.2
"""Seconds in which the same segments are not sent a third time."""

PROVIDER_ABORT = Abort(AbortSource.SERVICE_PROVIDER, AbortReason.NOT_SPECIFIED)


class LinkState(Enum):
    """See the module's docstring."""

    OPENING = "opening"
    LINKED = "linked"
    ENDED = "ended"


class Link:
    """One end of a link; its connection's receiver from `establish` on.

    Args:
        router: the instance's; the link is registered with it until it is forgotten.
        connection: to our peer.
        machine: the peer's side of the association (PS3.8 §9.2), in whatever state it is.
        on_end: called once when the association has ended, with a code for logs and spans.
        objection: to requests of our peer that no handler is asked about; None: there is none.
    """

    __slots__ = (
        "_accepted_contexts",
        "_attached",
        "_connection",
        "_machine",
        "_on_end",
        "_overdue",
        "_probes",
        "_receiver",
        "_release_deadline",
        "_resent_at",
        "_router",
        "_sender",
        "_tracing",
        "identity",
        "operations",
        "state",
    )

    def __init__(
        self,
        *,
        router: Router,
        connection: PeerConnection,
        machine: AssociationMachine,
        identity: LinkIdentity,
        on_end: Callable[[str], None],
        objection: Objection | None = None,
    ) -> None:
        self._router = router
        self._connection = connection
        self._machine = machine
        self._on_end = on_end
        self._accepted_contexts: frozenset[int] = frozenset()
        self._attached = False
        self._overdue = False
        self._probes = 0
        self._resent_at = 0.0
        self._release_deadline: float | None = None
        self.identity = identity
        self.operations = OperationTable()
        self.state = LinkState.OPENING
        self._tracing = OperationTracing(router.telemetry)
        inbound = Inbound(router.settings.window, slack=_READ_SLACK)
        self._sender = Sender(
            courier=router.courier,
            budget=router.budget,
            identity=identity,
            settings=router.settings,
            operations=self.operations,
            tracing=self._tracing,
            acknowledged=self._take_acknowledgement,
            on_void_complete=self._answer_void,
            objection=objection,
        )
        self._receiver = Receiver(
            connection=connection,
            identity=identity,
            inbound=inbound,
            operations=self.operations,
            tracing=self._tracing,
            now=router.now,
            on_operation_end=self._operation_ended,
            on_release=self._release_from_mesh,
            on_skip=self._sender.send_skipped,
        )

    @property
    def unsent(self) -> bool:
        """Whether the courier has not taken everything."""
        return self._sender.unsent

    # on patrol

    @property
    def traffic(self) -> int:
        """A number that changes with every byte to or from the peer."""
        return self._connection.bytes_received + self._receiver.bytes_written

    @property
    def in_mid_message(self) -> bool:
        """Whether the peer owes us the rest of a message, and is not held back by us."""
        connection = self._connection
        return (
            self.state is LinkState.LINKED
            and connection.reading
            and (connection.in_mid_pdu or self._sender.in_mid_message)
        )

    @property
    def at_rest(self) -> bool:
        """Whether no operation is under way, in either direction."""
        return (
            self.state is LinkState.LINKED
            and self._sender.outbound.idle
            and not self._sender.in_mid_message
            and self._receiver.requests <= self._sender.answers
            and all(operation.void for operation in self.operations)
        )

    @property
    def load(self) -> Load:
        """What it carries now."""
        if self.state is not LinkState.LINKED:
            return Load()
        connection, inbound = self._connection, self._receiver.inbound
        return Load(
            operations=sum(not operation.void for operation in self.operations),
            bytes_in=connection.bytes_received,
            bytes_out=self._receiver.bytes_written,
            undelivered=inbound.received - inbound.consumed,
            held_back=not connection.reading,
            stalled=connection.stalled_since is not None,
        )

    # opening

    def establish(
        self, *, remote: Endpoint, window: int, max_pdu: int, accepted_contexts: frozenset[int]
    ) -> None:
        """Join the two sides: the association stands for our peer (its machine is in Sta6).

        Args:
            remote: the other endpoint.
            window: bytes that it holds for us.
            max_pdu: our peer's Maximum Length.
            accepted_contexts: ids of the presentation contexts that the target accepted.
        """
        self.identity.remote = remote
        self._sender.outbound.window = window
        self._accepted_contexts = accepted_contexts
        self.state = LinkState.LINKED
        self._connection.receiver = self
        self._router.linked(self)
        if 0 < max_pdu < _SHORTEST_PDU:
            self._fail("maximum-length-too-small", AbortReason.INVALID_PDU_PARAMETER_VALUE)
            return
        self._guarded(lambda: self._receiver.unblock(max_pdu=max_pdu))

    def attach(self) -> None:
        """Let the other endpoint know that its association is wanted."""
        self._send_acknowledgement(answer=False)

    def ask_for_attachment(self) -> bool:
        """Tell whether the other endpoint has said that it wants the association; if not, ask it.

        It doesn't know of it when the reply that we opened it for was lost, and answers that it is GONE.
        """
        remote = self.identity.remote
        if not self._attached and remote is not None and self.state is LinkState.LINKED:
            self._router.courier.send_probe(remote, self.identity.local, consumed=0)
        return self._attached

    # from the peer (PduReceiver)

    def pdus_received(self, pdus: list[tuple[int, memoryview]]) -> None:
        """Handle the PDUs of one read."""
        self._guarded(lambda: self._handle_pdus(pdus))

    def _handle_pdus(self, pdus: list[tuple[int, memoryview]]) -> None:
        sender = self._sender
        index, count = 0, len(pdus)
        while index < count:
            pdu_type, body = pdus[index]
            if pdu_type == PduType.P_DATA_TF and self._machine.state in _RECEIVING:
                behind = sender.pass_on_run(pdus, index, self._connection.contiguous)
                if behind > index:
                    index = behind
                    continue
                pdvs = iter_pdvs(body)
                for pdv in pdvs:
                    if pdv[0] not in self._accepted_contexts:
                        self._fail("unknown-context", AbortReason.INVALID_PDU_PARAMETER_VALUE)
                        return
                sender.pdvs_received(pdvs)
            else:
                self._control_pdu(pdu_type, body)
            if self.state is LinkState.ENDED:
                return
            index += 1
        sender.end_of_read()
        if not sender.outbound.idle:
            self._router.watch(self)
            if sender.outbound.exhausted or sender.unsent:
                self._connection.pause_reading()

    def _control_pdu(self, pdu_type: int, body: memoryview) -> None:
        machine = self._machine
        if pdu_type == PduType.ABORT:
            abort = Abort.decode(body) if len(body) == 4 else PROVIDER_ABORT
            machine.handle(Event.EVT16)
            self._end("aborted-by-peer", tell=abort)
        elif pdu_type == PduType.RELEASE_RQ and machine.state in _RECEIVING:
            check_release(body)
            if machine.handle(Event.EVT12) is Action.AR_2:
                self._sender.send_release(FrameKind.RELEASE_RQ)
            elif machine.requestor:  # a collision (PS3.8 §7.2.2.7): the acceptor awaits our answer first
                machine.handle(Event.EVT14)
                self._connection.write(RELEASE_RP_PDU)
        elif pdu_type == PduType.RELEASE_RP and machine.state in {State.STA7, State.STA10, State.STA11}:
            check_release(body)
            if machine.handle(Event.EVT13) is Action.AR_10:
                machine.handle(Event.EVT14)
                self._connection.write(RELEASE_RP_PDU)
            self._sender.send_release(FrameKind.RELEASE_RP)
            self._end("released")
        else:
            self._fail("unexpected-pdu", AbortReason.UNEXPECTED_PDU)

    def protocol_error(self, error: UpperLayerError) -> None:
        """Handle a PDU that breaks PS3.8: what was whole before it still counts."""
        if isinstance(error, FramingError) and error.completed:
            self.pdus_received(error.completed)
        if self.state is not LinkState.ENDED:
            self._fail(error.code, error.abort_reason)

    def transport_lost(self) -> None:
        """Handle the end of our peer's connection."""
        if self.state is not LinkState.ENDED:
            self._end("transport-lost", tell=PROVIDER_ABORT)

    def writable_again(self) -> None:
        """Go on writing to our peer."""
        self._guarded(self._pump)

    # from the mesh (called by the router)

    def frame_received(self, frame: Frame) -> None:
        """Handle a frame of the other endpoint."""
        self._guarded(lambda: self._handle_frame(frame))

    def _handle_frame(self, frame: Frame) -> None:
        kind = frame.kind
        if kind != FrameKind.PROBE:  # which is also sent by who waits for the reply
            self._attached = True
        if kind == FrameKind.ABORT:
            if not self._is_from_remote(frame.payload[2:]):
                return
            source, reason = (frame.payload[0], frame.payload[1]) if len(frame.payload) >= 2 else (2, 0)
            self._end("aborted-by-other-side", abort=Abort(source, reason))
            return
        if kind == FrameKind.GONE:
            if not self._is_from_remote(frame.payload):
                self._router.stranger_gone(self, frame)
                return
            self._end("other-side-gone", abort=PROVIDER_ABORT)
            return
        if self.state is LinkState.OPENING and kind == FrameKind.ACK:
            self._router.openings.reply_lost(self.identity.local.channel)
            return
        if kind == FrameKind.PROBE and not self._is_from_remote(frame.payload):
            self._router.stranger_asks(self, frame)
            return
        if kind == FrameKind.ACK:
            self._acknowledged(frame.acknowledged, received=frame.position)
            if frame.flags & WHOLE:
                self._missing_told()
            return
        if kind == FrameKind.TAKEN:
            self._router.taken(frame)
            return
        if frame.acknowledged:
            self._acknowledged(frame.acknowledged)
        if kind == FrameKind.PROBE:
            self._send_acknowledgement(answer=True)
        elif kind == FrameKind.SKIP:
            if not self._receiver.inbound.skip(frame.position, decode_u64(frame.payload)):
                self._fail("skipped-in-mid-message", AbortReason.NOT_SPECIFIED)
                return
            self._pump()
        else:
            span = segment_span(kind, len(frame.payload))
            self._arrived(Arrival(frame.position, span, kind, frame.flags, frame.context_id, frame.payload))

    def _is_from_remote(self, sender: memoryview) -> bool:
        """Tell whether a frame comes from our other endpoint, not from one that was given up while opening."""
        remote = self.identity.remote
        return remote is not None and sender == encode_u32(remote.channel) + remote.instance.encode()

    def operation_approved(self, arrival: Arrival, acknowledged: int) -> None:
        """Handle a request that came through a handler."""

        def handle() -> None:
            self._attached = True
            if acknowledged:
                self._acknowledged(acknowledged)
            self._arrived(arrival)

        self._guarded(handle)

    def operation_refused(self, position: int, status: int) -> None:
        """Handle the refusal of an operation of our own peer."""
        operation = self.operations.at(position)
        if operation is None or operation.void or position < self._sender.outbound.received:
            return  # answered already, or another handler has let it pass
        self._guarded(lambda: self._void(operation, status, "refused"))

    def _arrived(self, arrival: Arrival) -> None:
        if self.state is LinkState.ENDED:
            return
        if not self._receiver.inbound.accept(arrival):
            self._send_acknowledgement(answer=False)
            return
        self._pump()

    def _pump(self) -> None:
        self._receiver.pump()
        if self.state is LinkState.ENDED:
            return
        inbound = self._receiver.inbound
        if not self._connection.writable:
            self._router.watch(self)
        if inbound.must_acknowledge:
            self._send_acknowledgement(answer=False)
        elif inbound.owes_acknowledgement:
            self._router.acknowledge_later(self)

    def _acknowledged(self, consumed: int, received: int = 0) -> None:
        sender = self._sender
        if sender.outbound.acknowledge(consumed=consumed, received=received):
            sender.progress_at = self._router.now()
            self._overdue = False
            self._probes = 0
            if not sender.outbound.exhausted and not sender.unsent:
                self._connection.resume_reading()

    def _missing_told(self) -> None:
        """Send again what the other side says it lacks, but not for each of several that say so at once."""
        now = self._router.now()
        if now - self._resent_at < _RESEND_PAUSE:
            return
        self._resent_at = now
        self._router.counters.retransmissions += self._sender.send_again()

    # acknowledgements

    def _take_acknowledgement(self) -> int:
        inbound = self._receiver.inbound
        inbound.acknowledged = inbound.consumed
        return inbound.consumed

    def acknowledge_if_owed(self) -> None:
        """Send the acknowledgement that no other frame has carried meanwhile."""
        if self._receiver.inbound.owes_acknowledgement:
            self._send_acknowledgement(answer=False)

    def _send_acknowledgement(self, *, answer: bool) -> None:
        if self.identity.remote is not None:
            received = self._receiver.inbound.received
            self._router.courier.send_ack(
                self.identity.remote, received=received, consumed=self._take_acknowledgement(), answer=answer
            )

    # operations

    def _operation_ended(self, operation: Operation, status: int, code: str | None = None) -> None:
        self.operations.remove(operation)
        self._tracing.operation_ended(operation, status=status, code=code)
        self._router.counters.operation_finished(
            dimse_service(operation.head.command_field),
            category(status).name.lower(),
            self._router.now() - operation.started,
        )

    def _void(self, operation: Operation, status: int, code: str) -> None:
        log.warning(
            "%s of %s to %s answered by the mesh: %s",
            dimse_service(operation.head.command_field),
            self.identity.calling_ae,
            self.identity.called_ae,
            code,
        )
        operation.void_code = code
        self._sender.void(operation, status)

    def _answer_void(self, operation: Operation) -> None:
        """Answer an operation that we failed, now that our peer has sent all of it."""
        status = operation.void_status
        assert status is not None
        operation.void_status = None
        self._receiver.answer(operation, status)
        self._tracing.operation_ended(operation, status=status, code=operation.void_code)
        self._router.counters.operation_finished(
            dimse_service(operation.head.command_field),
            category(status).name.lower(),
            self._router.now() - operation.started,
        )

    def _operation_cut_off(self, operation: Operation, code: str) -> None:
        """Note that an operation gets no response: its association has ended."""
        self._tracing.operation_ended(operation, status=None, code=code)
        if not operation.void or operation.void_status is not None:
            self._router.counters.operation_finished(
                dimse_service(operation.head.command_field),
                "aborted",
                self._router.now() - operation.started,
            )

    # deadlines (called by the router while something is outstanding)

    def sweep(self, now: float) -> bool:
        """Look at every deadline; return whether there is still something to watch."""
        if self.state is LinkState.ENDED:
            return False
        self._guarded(lambda: self._sweep(now))
        return self.state is LinkState.LINKED and (
            not self._sender.outbound.idle
            or len(self.operations) > 0
            or self._connection.stalled_since is not None
            or self._release_deadline is not None
        )

    def _sweep(self, now: float) -> None:
        settings, outbound = self._router.settings, self._sender.outbound
        if self._release_deadline is not None and now > self._release_deadline:
            self._fail("release-timeout", AbortReason.NOT_SPECIFIED)
            return
        stalled = self._connection.stalled_since
        if stalled is not None and now - stalled > settings.stalled_write_timeout:
            self._fail("peer-stalled", AbortReason.NOT_SPECIFIED)
            return
        if self._sender.unsent and self._router.connected:
            self._sender.send_again(unsent_only=True)
            if not self._sender.unsent and not outbound.exhausted:
                self._connection.resume_reading()
        if not outbound.idle:
            silence = now - self._sender.progress_at
            if silence > settings.deadline and outbound.received < outbound.position:
                self._mesh_deadline_passed()
            else:
                self.probe_if_silent(now)
        if self._router.outage(now) > settings.deadline:
            for operation in self.operations:
                self._fail_operation(operation, "mesh-deadline")
        if settings.operation_timeout:
            for operation in self.operations:
                if now - max(operation.last_activity, self._sender.progress_at) > settings.operation_timeout:
                    self._fail_operation(operation, "operation-timeout")

    def probe(self) -> None:
        """Ask the other endpoint what it has received, if anything is in flight."""
        remote = self.identity.remote
        if remote is not None and not self._sender.outbound.idle:
            self._probes = min(self._probes + 1, 16)
            self._router.courier.send_probe(
                remote, self.identity.local, consumed=self._receiver.inbound.consumed
            )

    def probe_if_silent(self, now: float) -> None:
        """Probe when there was no progress for a retransmission timeout, then for two."""
        timeout = self._router.settings.retransmit_timeout * min(1 << self._probes, _PROBE_BACKOFF)
        if now - self._sender.progress_at > timeout:
            self.probe()

    def mesh_returned(self) -> None:
        """Say what was received, and ask the same: whichever side comes back last, the other hears it."""
        if self.identity.remote is None:
            return
        settings, now = self._router.settings, self._router.now()
        patience = settings.deadline - 2 * settings.retransmit_timeout
        self._sender.progress_at = max(self._sender.progress_at, now - patience)
        self._probes = 0
        self._send_acknowledgement(answer=True)
        self.probe()

    def ask_handlers_again(self) -> None:
        """Ask the queue group again for the operations that nobody took."""
        if self.state is LinkState.LINKED:
            self._router.counters.retransmissions += self._sender.send_again(route=Route.HANDLER)

    def _mesh_deadline_passed(self) -> None:
        """Fail what the other side has not received; what can't fail alone keeps the association another deadline."""
        outbound = self._sender.outbound
        position = outbound.received
        for operation in sorted(self.operations, key=lambda o: o.position):
            if operation.position >= position and not operation.void:
                self._fail_operation(operation, "mesh-deadline")
                position = outbound.position if operation.end is None else operation.end
        if self.state is LinkState.ENDED:
            return
        if position < outbound.position and self._overdue:
            self._fail("mesh-deadline", AbortReason.NOT_SPECIFIED)
        self._overdue = True
        self._sender.progress_at = self._router.now()

    def _fail_operation(self, operation: Operation, code: str) -> None:
        if self.state is LinkState.ENDED or operation.void:
            return
        if self._sender.is_half_received(operation):
            self._fail(code, AbortReason.NOT_SPECIFIED)
        else:
            status = failure_status_for(operation.head.command_field, FailureReason.OUT_OF_RESOURCES)
            self._void(operation, status, code)
            self._connection.resume_reading()

    # ending

    def _release_from_mesh(self, kind: FrameKind) -> None:
        """Pass on the other side's A-RELEASE-RQ or -RP, in its place among the messages.

        An A-RELEASE-RQ that has crossed our own peer's in the mesh answers it: both get their A-RELEASE-RP.
        """
        machine = self._machine
        if kind is FrameKind.RELEASE_RQ and machine.state is not State.STA8:
            machine.handle(Event.EVT11)
            self._connection.write(RELEASE_RQ_PDU)
            self._release_deadline = self._router.now() + self._router.settings.release_timeout
            self._router.watch(self)
            return
        machine.handle(Event.EVT14)
        self._connection.write(RELEASE_RP_PDU)
        self._receiver.inbound.consumed_next()
        self._send_acknowledgement(answer=False)
        self._end("released")

    def abort(self, code: str, reason: AbortReason = AbortReason.NOT_SPECIFIED) -> None:
        """End the association on both sides: the mesh can't carry it any further."""
        if self.state is not LinkState.ENDED:
            self._fail(code, reason)

    def instance_died(self) -> None:
        """End the association: whoever held the other end is gone."""
        if self.state is not LinkState.ENDED:
            self._end("other-instance-died", abort=PROVIDER_ABORT)

    def _fail(self, code: str, reason: AbortReason) -> None:
        abort = Abort(AbortSource.SERVICE_PROVIDER, reason)
        if reason is not AbortReason.NOT_SPECIFIED:  # what a peer did wrong has one
            self._router.counters.protocol_error(code)
        self._end(code, abort=abort, tell=PROVIDER_ABORT)

    def _end(self, code: str, *, abort: Abort | None = None, tell: Abort | None = None) -> None:
        """End the association: `abort` goes to our peer, `tell` to the other endpoint."""
        if self.state is LinkState.LINKED:
            self._router.counters.bytes_in += self._connection.bytes_received
            self._router.counters.bytes_out += self._receiver.bytes_written
        self.state = LinkState.ENDED
        self._receiver.block()
        connection, settings = self._connection, self._router.settings
        if abort is not None:
            connection.write(abort.encode())
        connection.receiver = None
        if abort is not None or self._machine.state is State.STA13:
            connection.linger(within=settings.release_timeout)
        else:
            connection.close(within=settings.release_timeout)
        for operation in self.operations.clear():
            self._operation_cut_off(operation, code)
        self._tracing.close()
        self._router.ended(self, tell=tell, keep=code == "released" and not self._sender.outbound.idle)
        if code != "released":
            log.info(
                "association %s to %s ended: %s", self.identity.calling_ae, self.identity.called_ae, code
            )
        self._on_end(code)

    def forgotten(self) -> None:
        """Let go of what was sent: the other endpoint knows of the end, or there is none."""
        self._sender.outbound.close()

    def still_unacknowledged(self, frame: Frame) -> bool:
        """After a release: handle an ACK of what was sent last; return whether something is still missing."""
        if frame.kind == FrameKind.ACK:
            try:
                self._sender.outbound.acknowledge(consumed=frame.acknowledged, received=frame.position)
            except OutboundError:
                return False
            if frame.flags & WHOLE:
                self._missing_told()
        elif frame.kind == FrameKind.PROBE:
            self._send_acknowledgement(answer=True)
        return not self._sender.outbound.idle

    def _guarded(self, action: Callable[[], None]) -> None:
        """Run `action`; what a peer or the other endpoint did wrong ends this association and no other."""
        try:
            action()
        except UpperLayerError as error:
            reason = error.abort_reason
            code = error.code
        except DimseError as error:
            reason, code = AbortReason.INVALID_PDU_PARAMETER_VALUE, f"dimse-{error.code}"
        except (FrameError, WindowOverrun, OutboundError) as error:
            reason, code = AbortReason.NOT_SPECIFIED, type(error).__name__
        else:
            return
        if self.state is not LinkState.ENDED:
            self._fail(code, reason)
