"""One end of a link: a peer's association on one side, two ordered directions on the other.

It builds its parts and keeps what they share, its state and its end:

    peer_end    PDUs of our peer                     sender      from the peer to the mesh
    other_end   frames of the other endpoint         receiver    from the mesh to the peer
    deadlines   what may be lost, what has failed    outcomes    how our peer's operations end

Whoever ends the association first tells the other endpoint: in order for a release, at once for
an abort (ABORT, repeated by the router until it is answered).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from dimse_mesh.dimse import DimseError
from dimse_mesh.endpoint.deadlines import Deadlines
from dimse_mesh.endpoint.identity import LinkIdentity
from dimse_mesh.endpoint.inbound import Inbound, WindowOverrun
from dimse_mesh.endpoint.link_state import LinkState
from dimse_mesh.endpoint.operations import OperationTable
from dimse_mesh.endpoint.other_end import OtherEnd
from dimse_mesh.endpoint.outbound import OutboundError
from dimse_mesh.endpoint.outcomes import Outcomes
from dimse_mesh.endpoint.peer import PROVIDER_ABORT, Peer
from dimse_mesh.endpoint.peer_end import PeerEnd
from dimse_mesh.endpoint.receiver import Receiver
from dimse_mesh.endpoint.router import Router
from dimse_mesh.endpoint.sender import Objection, Sender
from dimse_mesh.endpoint.tracing import OperationTracing
from dimse_mesh.runtime.counters import Load
from dimse_mesh.schemas.addresses import HalfAddress
from dimse_mesh.schemas.frames import FrameError
from dimse_mesh.upper_layer import Abort, AbortReason, UpperLayerError

log = logging.getLogger(__name__)

_READ_SLACK = 4 * 1024 * 1024
"""What one read of a socket may add to a full window: receive buffer, a PDU under way and a chunk, each at its most."""
_SHORTEST_PDU = 7
"""A PDV's header is 6 bytes long (PS3.8 §9.3.5.1): below this Maximum Length nothing can be said to a peer."""

ENDING = (UpperLayerError, DimseError, FrameError, WindowOverrun, OutboundError)
"""What a peer or the other endpoint may do wrong."""


class Link:
    """One end of a link.

    Args:
        router: the instance's; the link is registered with it until it is forgotten.
        peer: ours.
        on_end: called once when the association has ended, with a code for logs and spans.
        objection: to requests of our peer that no handler is asked about; None: there is none.
    """

    __slots__ = (
        "_on_end",
        "deadlines",
        "identity",
        "operations",
        "other_end",
        "outcomes",
        "peer",
        "peer_end",
        "receiver",
        "router",
        "sender",
        "state",
    )

    def __init__(
        self,
        *,
        router: Router,
        peer: Peer,
        identity: LinkIdentity,
        on_end: Callable[[str], None],
        objection: Objection | None = None,
    ) -> None:
        self._on_end = on_end
        self.router = router
        self.peer = peer
        self.identity = identity
        self.operations = OperationTable()
        self.state = LinkState.OPENING
        tracing = OperationTracing(router.telemetry)
        inbound = Inbound(router.settings.window, slack=_READ_SLACK)
        self.deadlines = Deadlines(self)
        self.outcomes = Outcomes(self, tracing)
        self.sender = Sender(
            courier=router.courier,
            budget=router.budget,
            identity=identity,
            settings=router.settings,
            operations=self.operations,
            tracing=tracing,
            acknowledged=inbound.take_acknowledgement,
            on_void_complete=self.outcomes.answer_void,
            objection=objection,
        )
        self.peer_end = PeerEnd(self, peer=peer, sender=self.sender)
        self.receiver = Receiver(
            peer=peer,
            identity=identity,
            inbound=inbound,
            operations=self.operations,
            tracing=tracing,
            now=router.now,
            on_operation_end=self.outcomes.answered,
            on_release=self.peer_end.release,
            on_close=self.peer_end.close,
            on_cancel=self.sender.send_cancelled,
        )
        self.other_end = OtherEnd(self, peer=peer, sender=self.sender, receiver=self.receiver)

    # what it carries (for patrol and metrics)

    @property
    def traffic(self) -> int:
        """A number that changes with every byte to or from the peer."""
        return self.peer.bytes_received + self.receiver.bytes_written

    @property
    def in_mid_message(self) -> bool:
        """Whether the peer owes us the rest of a message, and is not held back by us."""
        peer = self.peer
        return (
            self.state is LinkState.LINKED
            and peer.reading
            and not self.peer_end.closing
            and (peer.in_mid_pdu or self.sender.in_mid_message)
        )

    @property
    def at_rest(self) -> bool:
        """Whether no operation is under way, in either direction."""
        return (
            self.state is LinkState.LINKED
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
        if self.state is not LinkState.LINKED:
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
    ) -> None:
        """Join the two sides: the association stands for our peer (its machine is in Sta6).

        Args:
            remote: the other endpoint.
            window: bytes that it holds for us.
            max_pdu: our peer's Maximum Length.
            accepted_contexts: ids of the presentation contexts that the target accepted.
            max_length: the Maximum Length that our peer was told.
        """
        self.identity.remote = remote
        self.sender.outbound.window = window
        self.sender.outbound.path = self.router.paths.to(remote.instance)
        self.peer_end.accepted_contexts = accepted_contexts
        self.state = LinkState.LINKED
        self.router.linked(self)
        if 0 < max_pdu < _SHORTEST_PDU:
            self.fail("maximum-length-too-small", AbortReason.INVALID_PDU_PARAMETER_VALUE)
            return
        self.regulate()
        self.peer.join(self.peer_end, max_pdu=max_pdu, max_length=max_length)
        if self.state is LinkState.LINKED:
            self.guarded(self.receiver.unblock)

    def attach(self) -> None:
        """Let the other endpoint know that its association is wanted."""
        self.other_end.send_acknowledgement()

    def ask_for_attachment(self) -> bool:
        """Tell whether the other endpoint has said that it wants the association; if not, ask it.

        It doesn't know of it when the reply that we opened it for was lost, and answers with a RESET.
        """
        remote, attached = self.identity.remote, self.other_end.attached
        if not attached and remote is not None and self.state is LinkState.LINKED:
            self.router.courier.send_probe(remote, self.identity.local, consumed=0)
        return attached

    # what is let in

    def regulate(self, *, turn: bool = False) -> None:
        """Read our peer's socket, or let TCP hold it back until what it has sent gets away.

        Where a path is full, or others wait for it, each read is a turn; a peer that begins something needs none.
        """
        peer, outbound = self.peer, self.sender.outbound
        path = outbound.path
        assert path is not None
        if outbound.exhausted or self.sender.unsent:
            peer.pause_reading()
            path.leave(self)
        elif (path.full or (path.contended and not turn)) and (
            peer.in_mid_pdu or self.sender.in_mid_message or not outbound.idle
        ):
            peer.pause_reading()
            path.wait(self)
        else:
            peer.limit_reads(path.read_size)
            peer.resume_reading()
            path.reads(self)

    # time

    def sweep(self, now: float) -> bool:
        """Look at every deadline; return whether there is still something to watch."""
        if self.state is LinkState.ENDED:
            return False
        self.guarded(lambda: self.deadlines.sweep(now))
        return self.state is LinkState.LINKED and self.deadlines.outstanding

    # ending

    def abort(self, code: str, reason: AbortReason = AbortReason.NOT_SPECIFIED) -> None:
        """End the association on both sides: the mesh can't carry it any further."""
        if self.state is not LinkState.ENDED:
            self.fail(code, reason)

    def instance_died(self) -> None:
        """End the association: whoever held the other end is gone."""
        if self.state is not LinkState.ENDED:
            self.end("other-instance-died", abort=PROVIDER_ABORT)

    def guarded(self, action: Callable[[], None]) -> None:
        """Run `action`; what a peer or the other endpoint did wrong ends this association and no other."""
        try:
            action()
        except ENDING as error:
            self.blame(error)

    def blame(self, error: Exception) -> None:
        """End the association for one of the errors in `ENDING`."""
        if isinstance(error, UpperLayerError):
            code, reason = error.code, error.abort_reason
        elif isinstance(error, DimseError):
            code, reason = f"dimse-{error.code}", AbortReason.INVALID_PDU_PARAMETER_VALUE
        else:
            code, reason = type(error).__name__, AbortReason.NOT_SPECIFIED
        self.abort(code, reason)

    def fail(self, code: str, reason: AbortReason = AbortReason.NOT_SPECIFIED) -> None:
        """Abort the association towards both sides; a part has found that it can't go on."""
        if reason is not AbortReason.NOT_SPECIFIED:  # what a peer did wrong has one
            self.router.counters.protocol_error(code)
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
        if self.state is LinkState.LINKED:
            self.router.counters.bytes_in += self.peer.bytes_received
            self.router.counters.bytes_out += self.receiver.bytes_written
        self.state = LinkState.ENDED
        if self.sender.outbound.path is not None:
            self.sender.outbound.path.leave(self)
        self.receiver.block()
        if abort is not None:
            self.peer.abort(abort)
        self.peer.leave()
        self.outcomes.cut_off(code)
        self.router.ended(self, tell=tell, keep=in_order and not self.sender.outbound.idle)
        if code != "released":
            log.info(
                "association %s to %s ended: %s", self.identity.calling_ae, self.identity.called_ae, code
            )
        self._on_end(code)

    def forgotten(self) -> None:
        """Let go of what was sent: the other endpoint knows of the end, or there is none."""
        self.sender.outbound.close()
