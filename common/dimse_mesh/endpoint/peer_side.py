"""The side of a half that faces our peer: what the peer sends goes to the other endpoint, in order."""

from __future__ import annotations

from collections.abc import Sequence

from dimse_mesh.dimse import DimseError
from dimse_mesh.endpoint.half_state import HalfState
from dimse_mesh.endpoint.peer import DicomPeer
from dimse_mesh.endpoint.ports import Half
from dimse_mesh.endpoint.sender import Sender
from dimse_mesh.mesh import PayloadTooLarge
from dimse_mesh.schemas.frames import Closing, FrameKind
from dimse_mesh.upper_layer import Abort, AbortReason

LOST = "transport-lost"
CLOSED_BY_OTHER_SIDE = "closed-by-other-side"


class PeerSide:
    """User of our peer from `AssociationHalf.establish` on.

    How a connection that nobody releases or aborts is closed:

    our peer's FIN           -> CLOSE in order; the peer still gets its answers, until the other side's peer closes, too
    our peer is gone         -> CLOSE in order; what still comes for it is dropped
    CLOSE, the peer may read -> FIN to our peer, which still answers; with TLS, which has none, once it has answered
    CLOSE, the peer is gone  -> our peer's connection is closed
    """

    __slots__ = ("_closes_when_answered", "_half", "_peer", "_sender", "accepted_contexts", "closing")

    def __init__(self, half: Half, *, peer: DicomPeer, sender: Sender) -> None:
        self._half = half
        self._peer = peer
        self._sender = sender
        self.accepted_contexts: frozenset[int] = frozenset()
        """Ids of the presentation contexts that the target accepted."""
        self.closing = ""
        """Which of the two peers has closed first, as a code for logs and spans; none: neither."""
        self._closes_when_answered = False

    # what it sends

    def run_received(self, pdus: Sequence[tuple[int, memoryview]], index: int, contiguous: memoryview) -> int:
        """Pass on a run of pending responses, if P-DATA-TF `index` begins one."""
        try:
            return self._sender.pass_on_run(pdus, index, contiguous)
        except PayloadTooLarge as error:
            self._half.blame(error)
            return len(pdus)

    def pdvs_received(self, pdvs: Sequence[tuple[int, int, memoryview]]) -> None:
        """Pass on fragments of messages."""
        for pdv in pdvs:
            if pdv[0] not in self.accepted_contexts:
                self._half.fail("unknown-context", AbortReason.INVALID_PDU_PARAMETER_VALUE)
                return
        try:
            self._sender.pdvs_received(pdvs)
        except (DimseError, PayloadTooLarge) as error:
            self._half.blame(error)

    def read_ended(self) -> None:
        """Let go of the receive buffer, and look at whether more may be read."""
        half, sender = self._half, self._sender
        if half.state is HalfState.ENDED:
            return
        try:
            sender.end_of_read()
        except PayloadTooLarge as error:
            half.blame(error)
            return
        # What it asks itself can't be answered any more.
        if self._closes_when_answered and (not half.owed_answers or len(half.operations)):
            self._close()
            return
        half.regulate()

    def writable_again(self) -> None:
        """Go on writing to our peer."""
        self._half.guarded(self._half.pump)

    # release

    def release_requested(self) -> None:
        """Ask the other side's peer."""
        self._sender.send_release(FrameKind.RELEASE_RQ)

    def released(self) -> None:
        """Answer the other side's peer."""
        self._sender.send_release(FrameKind.RELEASE_RP)
        self._half.end("released", in_order=True)

    def release(self, kind: FrameKind) -> None:
        """Pass on the other side's A-RELEASE-RQ or -RP, in its place among the messages.

        An A-RELEASE-RQ that has crossed our own peer's in the mesh answers it: both get their A-RELEASE-RP.
        """
        half = self._half
        if kind is FrameKind.RELEASE_RQ and not self._peer.release_requested:
            self._peer.request_release()
            half.await_release()
            return
        self._peer.answer_release()
        half.segment_consumed()
        half.end("released", in_order=True)

    # the end

    def aborted(self, abort: Abort) -> None:
        """Abort the other side's peer as ours did."""
        self._half.end("aborted-by-peer", tell=abort)

    def failed(self, code: str, reason: AbortReason) -> None:
        """Abort the other side's peer, too."""
        if self._half.state is not HalfState.ENDED:
            self._half.fail(code, reason)

    def input_ended(self) -> bool:
        """Tell the other endpoint of our peer's FIN, behind what it sent; True while answers may come."""
        if self._half.state is HalfState.ENDED:
            return False
        if self.closing:
            self._sender.send_close(Closing.WHOLLY)
            self._peer.close()
            self._half.end(self.closing, in_order=True)
            return False
        self._sender.send_close(Closing.HALF)
        self.closing = LOST
        self._half.await_close()
        return True

    def closed(self) -> None:
        """Tell the other endpoint that our peer has gone, behind what it sent."""
        if self._half.state is not HalfState.ENDED:
            self._sender.send_close(Closing.WHOLLY)
            self._half.end(self.closing or LOST, in_order=True)

    def close(self, how: int) -> None:
        """Pass on that the other side's peer has closed, in its place behind the messages."""
        half = self._half
        if how == Closing.HALF and not self.closing:
            self.closing = CLOSED_BY_OTHER_SIDE
            if self._peer.end_output():
                return
            if half.owed_answers and not len(half.operations):
                self._closes_when_answered = True
                return
            self._close()
            return
        self._peer.close()
        half.segment_consumed()
        half.end(self.closing or CLOSED_BY_OTHER_SIDE)

    def _close(self) -> None:
        """Close our peer's connection, now that it has answered."""
        self._sender.send_close(Closing.WHOLLY)
        self._peer.close()
        self._half.end(self.closing, in_order=True)
