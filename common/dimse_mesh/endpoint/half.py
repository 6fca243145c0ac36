"""One half of an association: our peer on one side, two ordered directions to the other half on the other.

It builds its parts and keeps what they share, its state and its end:

    peer_side     what our peer sends and says       sender      from the peer to the mesh
    remote_side   frames of the other endpoint       receiver    from the mesh to the peer
    deadlines     what may be lost, what has failed  outcomes    how our peer's operations end
    back_pressure when our peer is read              faults      what ends an association, and how

Whoever ends the association first tells the other endpoint: in order for a release or a close, at once for an abort
(ABORT, repeated by the instance until it is answered).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from dimse_mesh.dimse import CommandHead
from dimse_mesh.encryption import EncryptionError, Protection
from dimse_mesh.endpoint.back_pressure import BackPressure
from dimse_mesh.endpoint.deadlines import Deadlines
from dimse_mesh.endpoint.faults import FAULTS, end_for
from dimse_mesh.endpoint.half_state import HalfState
from dimse_mesh.endpoint.identity import AssociationIdentity
from dimse_mesh.endpoint.operations import Operation, OperationTable
from dimse_mesh.endpoint.outcomes import Outcomes
from dimse_mesh.endpoint.peer import PROVIDER_ABORT, DicomPeer, PeerWatch
from dimse_mesh.endpoint.peer_side import PeerSide
from dimse_mesh.endpoint.ports import Instance
from dimse_mesh.endpoint.receiver import Receiver
from dimse_mesh.endpoint.remote_side import RemoteSide
from dimse_mesh.endpoint.sender import Sender, Translation
from dimse_mesh.endpoint.summary import OperationSummary
from dimse_mesh.endpoint.tracing import OperationTracing
from dimse_mesh.policy import Objection
from dimse_mesh.runtime.counters import Load
from dimse_mesh.schemas.addresses import HalfAddress, InstanceAddress
from dimse_mesh.schemas.frames import Frame
from dimse_mesh.streams.inbound import Arrival, Inbound
from dimse_mesh.upper_layer import Abort, AbortReason

log = logging.getLogger(__name__)

_READ_SLACK = 4 * 1024 * 1024
"""What one read of a socket may add to a full window: receive buffer, a PDU under way and a chunk, each at its most."""


class AssociationHalf:
    """One half of an association.

    Args:
        instance: where it lives, and is registered until it is forgotten.
        peer: ours.
        on_end: called once when the association has ended, with a code for logs and spans.
        objection: to requests of our peer that no handler is asked about; None: there is none.
        translate: changes command sets of our peer; None: none is changed.
        on_request: told of each request before our peer gets it.
        watch: sees what our peer is asked and answers.
        idle_timeout: seconds that it may be at rest; None: what the instance's settings say.
    """

    __slots__ = (
        "_back_pressure",
        "_deadlines",
        "_on_end",
        "_outcomes",
        "_peer_side",
        "_remote_side",
        "identity",
        "idle_timeout",
        "instance",
        "operations",
        "peer",
        "receiver",
        "sender",
        "settings",
        "state",
        "summary",
    )

    def __init__(
        self,
        *,
        instance: Instance,
        peer: DicomPeer,
        identity: AssociationIdentity,
        on_end: Callable[[str], None],
        objection: Objection | None = None,
        translate: Translation | None = None,
        on_request: Callable[[CommandHead, memoryview], None] | None = None,
        watch: PeerWatch | None = None,
        idle_timeout: float | None = None,
    ) -> None:
        self._on_end = on_end
        self.idle_timeout = instance.settings.idle_timeout if idle_timeout is None else idle_timeout
        """How long it may be at rest, with nothing moving, in seconds; 0: for ever."""
        self.instance = instance
        self.settings = instance.settings
        self.peer = peer
        self.identity = identity
        self._back_pressure = BackPressure(self, max_operations=instance.settings.max_operations)
        self.operations = OperationTable(self._back_pressure.operation_added)
        self.summary = OperationSummary()
        self.state = HalfState.OPENING
        tracing = OperationTracing(instance.telemetry)
        settings = instance.settings
        inbound = Inbound(settings.largest_window, slack=_READ_SLACK, owing=settings.window // 4)
        self._deadlines = Deadlines(self)
        self._outcomes = Outcomes(self, tracing)
        self.sender = Sender(
            courier=instance.courier,
            budget=instance.budget,
            identity=identity,
            settings=instance.settings,
            operations=self.operations,
            tracing=tracing,
            acknowledged=inbound.take_acknowledgement,
            on_void_complete=self._outcomes.answer_void,
            begun=partial(instance.watch, self),
            objection=objection,
            translate=translate,
            watch=watch,
        )
        self._peer_side = PeerSide(self, peer=peer, sender=self.sender)
        self.receiver = Receiver(
            peer=peer,
            identity=identity,
            inbound=inbound,
            operations=self.operations,
            tracing=tracing,
            now=instance.now,
            on_operation_end=self._outcomes.answered,
            on_release=self._peer_side.release,
            on_close=self._peer_side.close,
            on_cancel=self.sender.send_cancelled,
            on_request=on_request,
            watch=watch,
        )
        self._remote_side = RemoteSide(self, peer=peer, sender=self.sender, receiver=self.receiver)

    # what it carries (for patrol and metrics)

    @property
    def traffic(self) -> int:
        """A number that changes with every byte to or from the peer."""
        return self.peer.bytes_received + self.receiver.bytes_written

    @property
    def carried(self) -> tuple[int, int]:
        """Bytes from the peer so far, and to it."""
        return self.peer.bytes_received, self.receiver.bytes_written

    @property
    def in_mid_message(self) -> bool:
        """Whether the peer owes us the rest of a message, and is not held back by us."""
        peer = self.peer
        return (
            self.state is HalfState.LINKED
            and peer.reading
            and not self._peer_side.closing
            and (peer.in_mid_pdu or self.sender.in_mid_message)
        )

    @property
    def at_rest(self) -> bool:
        """Whether no operation is under way, in either direction."""
        return (
            self.state is HalfState.LINKED
            and self.sender.outbound.idle
            and not self.sender.in_mid_message
            and self.receiver.requests <= self.sender.answers
            and all(operation.void for operation in self.operations)
        )

    @property
    def owed_answers(self) -> bool:
        """Whether our peer has not answered all that it was asked."""
        return self.receiver.requests > self.sender.answers or self.peer.owes_release

    @property
    def awaited_answers(self) -> bool:
        """Whether the other side's peer has not answered all that ours has asked it."""
        return self.peer.release_requested or any(
            operation.end is not None and not operation.void for operation in self.operations
        )

    @property
    def load(self) -> Load:
        """What it carries now."""
        if self.state is not HalfState.LINKED:
            return Load()
        peer, inbound = self.peer, self.receiver.inbound
        return Load(
            operations=sum(not operation.void for operation in self.operations),
            bytes_in=peer.bytes_received,
            bytes_out=self.receiver.bytes_written,
            undelivered=inbound.received - inbound.consumed,
            held_back=not peer.reading,
            stalled=not peer.writable,
        )

    # opening

    def establish(
        self,
        *,
        remote: HalfAddress,
        window: int,
        max_pdu: int,
        accepted_contexts: frozenset[int],
        max_length: int,
        operations: int = 1,
        protection: Protection | None = None,
    ) -> None:
        """Join the two sides: the association stands for our peer (its machine is in Sta6).

        Args:
            remote: the other endpoint.
            window: bytes that it holds for us.
            max_pdu: our peer's Maximum Length.
            accepted_contexts: ids of the presentation contexts that the target accepted.
            max_length: the Maximum Length that our peer was told.
            operations: that it may have outstanding, by negotiation; 0: without limit.
            protection: of an encrypted association.
        """
        self.identity.remote = remote
        if protection is not None:
            self.sender.seal, self.receiver.open = protection.seal, protection.open
        self.sender.outbound.open(window, self.instance.congestion_window_to(remote.instance))
        self._peer_side.accepted_contexts = accepted_contexts
        self._back_pressure.negotiated(operations)
        self.state = HalfState.LINKED
        self.instance.linked(self)
        if 0 < max_pdu < self.settings.least_peer_pdu_length:
            self.fail("maximum-length-too-small", AbortReason.INVALID_PDU_PARAMETER_VALUE)
            return
        self.regulate()
        self.peer.join(self._peer_side, max_pdu=max_pdu, max_length=max_length)
        if self.state is HalfState.LINKED:
            self.guarded(self.receiver.unblock)

    def attach(self) -> None:
        """Let the other endpoint know that its association is wanted."""
        self._remote_side.send_acknowledgement()

    def ask_for_attachment(self) -> bool:
        """Tell whether the other endpoint has said that it wants the association; if not, ask it.

        It doesn't know of it when the reply that we opened it for was lost, and answers with a RESET.
        """
        remote, attached = self.identity.remote, self._remote_side.attached
        if not attached and remote is not None and self.state is HalfState.LINKED:
            self.instance.courier.send_probe(remote, self.identity.local, consumed=0)
        return attached

    # what is let in

    @property
    def full(self) -> bool:
        """Whether our peer isn't read because it has as many operations outstanding as it may have."""
        return self._back_pressure.full

    def regulate(self) -> None:
        """Read our peer, or hold it back until what it has sent gets away."""
        self._back_pressure.regulate()

    # time

    def sweep(self, now: float) -> bool:
        """Look at every deadline; return whether there is still something to watch."""
        if self.state is HalfState.ENDED:
            return False
        self.guarded(lambda: self._deadlines.sweep(now))
        return self.state is HalfState.LINKED and self._deadlines.outstanding

    def sweep_after_end(self, now: float) -> bool:
        """After an end in order: probe if nothing moves; False: the other endpoint has been silent for too long."""
        return self._deadlines.sweep_after_end(now)

    def send_unsent(self) -> None:
        """Send what was not taken yet, and read on when all of it was."""
        self.guarded(self._deadlines.send_unsent)

    def ask_handlers_again(self) -> None:
        """Send operations to the queue group again that no handler took."""
        self._deadlines.ask_handlers_again()

    def mesh_returned(self) -> None:
        """Say what was received, and ask the same."""
        self._deadlines.mesh_returned()

    def await_release(self) -> None:
        """From now on our peer owes an A-RELEASE-RP."""
        self._deadlines.await_release()

    def await_close(self) -> None:
        """Note that our peer has sent its last byte, and waits for the other side's peer to answer and close."""
        self._deadlines.await_close()

    # the other endpoint

    @property
    def remote(self) -> HalfAddress:
        """The other endpoint's half; only when it is known."""
        remote = self.identity.remote
        assert remote is not None
        return remote

    def frame_received(self, frame: Frame) -> None:
        """Handle a frame of the other endpoint."""
        self._remote_side.frame_received(frame)

    def operation_approved(self, arrival: Arrival, acknowledged: int) -> None:
        """Handle a request that came through a handler."""
        self._remote_side.operation_approved(arrival, acknowledged)

    def operation_refused(self, position: int, status: int, code: str, *, by: InstanceAddress) -> None:
        """Handle the refusal of an operation of our own peer; only by a handler that was asked for it."""
        self._remote_side.operation_refused(position, status, code, by=by)

    def still_unacknowledged(self, frame: Frame) -> bool:
        """After an end in order: handle an ACK of what was sent last; return whether something is still missing."""
        return self._remote_side.still_unacknowledged(frame)

    def acknowledge_if_owed(self) -> None:
        """Send the acknowledgement that no other frame has carried meanwhile."""
        self._remote_side.acknowledge_if_owed()

    def send_acknowledgement(self, *, probe: int | None = None) -> None:
        """Say what was received and consumed; `probe`: and that what else was sent before it (0: so far) was lost."""
        self._remote_side.send_acknowledgement(probe=probe)

    def pump(self) -> None:
        """Write to our peer what it takes, and acknowledge that."""
        self._remote_side.pump()

    def segment_consumed(self) -> None:
        """Acknowledge the end that was just passed on: it is the last thing that our peer got."""
        self._remote_side.segment_consumed()

    def progress(self) -> None:
        """Note that the other endpoint has received or consumed something."""
        self._deadlines.progress()

    def missing_told(self, probe: int, arrived: int) -> None:
        """Send again what the other side says it lacks."""
        self._deadlines.missing_told(probe, arrived)

    def void(self, operation: Operation, status: int, code: str) -> None:
        """Let the mesh answer an operation: with `status`, as soon as our peer has sent all of it."""
        self._outcomes.void(operation, status, code)

    # ending

    def abort(self, code: str, reason: AbortReason = AbortReason.NOT_SPECIFIED) -> None:
        """End the association on both sides: the mesh can't carry it any further."""
        if self.state is not HalfState.ENDED:
            self.fail(code, reason)

    def instance_died(self) -> None:
        """End the association: whoever held the other end is gone."""
        if self.state is not HalfState.ENDED:
            self.end("other-instance-died", abort=PROVIDER_ABORT)

    def guarded(self, action: Callable[[], None]) -> None:
        """Run `action`; what a peer or the other endpoint did wrong ends this association and no other."""
        try:
            action()
        except FAULTS as error:
            self.blame(error)

    def blame(self, error: Exception) -> None:
        """End the association for one of the `FAULTS`."""
        code, reason = end_for(error)
        if isinstance(error, EncryptionError):
            self.instance.counters.protocol_error(code)
            log.warning(
                "association %s to %s: what came was not sealed by the other endpoint; somebody on the bus may have "
                "changed it",
                self.identity.calling_ae,
                self.identity.called_ae,
            )
        self.abort(code, reason)

    def fail(self, code: str, reason: AbortReason = AbortReason.NOT_SPECIFIED) -> None:
        """Abort the association towards both sides; a part has found that it can't go on."""
        if reason is not AbortReason.NOT_SPECIFIED:  # what a peer did wrong has one
            self.instance.counters.protocol_error(code)
            self.peer.refuse(reason)
        self.end(code, abort=PROVIDER_ABORT, tell=PROVIDER_ABORT)

    def end(
        self, code: str, *, abort: Abort | None = None, tell: Abort | None = None, in_order: bool = False
    ) -> None:
        """End the association.

        Args:
            code: why, for logs and spans.
            abort: goes to our peer.
            tell: goes to the other endpoint, and overtakes what was sent.
            in_order: the other endpoint gets what was sent, the end itself included.
        """
        if self.state is HalfState.LINKED:
            self.instance.counters.carried(*self.carried)
        self.state = HalfState.ENDED
        self._back_pressure.leave()
        self.receiver.block()
        if abort is not None:
            self.peer.abort(abort)
        self.peer.leave()
        self._outcomes.cut_off(code)
        self.instance.ended(self, tell=tell, keep=in_order and not self.sender.outbound.idle)
        if code != "released":
            log.info(
                "association %s to %s ended: %s",
                self.identity.calling_ae,
                self.identity.called_ae,
                code,
                extra={"fields": {"association": self.identity.association}},
            )
        self._on_end(code)

    def forgotten(self) -> None:
        """Let go of what was sent: the other endpoint knows of the end, or there is none."""
        self.sender.outbound.close()
