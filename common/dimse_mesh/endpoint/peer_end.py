"""Our peer's end of a link: what it sends and says goes to the other endpoint, in order, as long as that takes more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dimse_mesh.dimse import DimseError
from dimse_mesh.endpoint.link_state import LinkState
from dimse_mesh.endpoint.peer import Peer
from dimse_mesh.endpoint.sender import Sender
from dimse_mesh.schemas.frames import Closing, FrameKind
from dimse_mesh.upper_layer import Abort, AbortReason

if TYPE_CHECKING:
    from dimse_mesh.endpoint.link import Link

LOST = "transport-lost"
CLOSED_BY_OTHER_SIDE = "closed-by-other-side"


class PeerEnd:
    """User of our peer from `Link.establish` on.

    How a connection that nobody releases or aborts is closed:

    our peer's FIN           -> CLOSE in order; the peer still gets its answers, until the other side's peer closes, too
    our peer is gone         -> CLOSE in order; what still comes for it is dropped
    CLOSE, the peer may read -> FIN to our peer, which still answers; with TLS, which has none, once it has answered
    CLOSE, the peer is gone  -> our peer's connection is closed
    """

    __slots__ = ("_closes_when_answered", "_link", "_peer", "_sender", "accepted_contexts", "closing")

    def __init__(self, link: Link, *, peer: Peer, sender: Sender) -> None:
        self._link = link
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
        return self._sender.pass_on_run(pdus, index, contiguous)

    def pdvs_received(self, pdvs: Sequence[tuple[int, int, memoryview]]) -> None:
        """Pass on fragments of messages."""
        for pdv in pdvs:
            if pdv[0] not in self.accepted_contexts:
                self._link.fail("unknown-context", AbortReason.INVALID_PDU_PARAMETER_VALUE)
                return
        try:
            self._sender.pdvs_received(pdvs)
        except DimseError as error:
            self._link.blame(error)

    def read_ended(self) -> None:
        """Let go of the receive buffer, and look at whether more may be read."""
        link, sender = self._link, self._sender
        if link.state is LinkState.ENDED:
            return
        sender.end_of_read()
        if self._closes_when_answered and not link.owed_answers:
            self._close()
            return
        if not sender.outbound.idle:
            link.router.watch(link)
        link.regulate()

    def writable_again(self) -> None:
        """Go on writing to our peer."""
        self._link.guarded(self._link.other_end.pump)

    # release

    def release_requested(self) -> None:
        """Ask the other side's peer."""
        self._sender.send_release(FrameKind.RELEASE_RQ)

    def released(self) -> None:
        """Answer the other side's peer."""
        self._sender.send_release(FrameKind.RELEASE_RP)
        self._link.end("released", in_order=True)

    def release(self, kind: FrameKind) -> None:
        """Pass on the other side's A-RELEASE-RQ or -RP, in its place among the messages.

        An A-RELEASE-RQ that has crossed our own peer's in the mesh answers it: both get their A-RELEASE-RP.
        """
        link = self._link
        if kind is FrameKind.RELEASE_RQ and not self._peer.release_requested:
            self._peer.request_release()
            link.deadlines.await_release()
            return
        self._peer.answer_release()
        link.other_end.segment_consumed()
        link.end("released", in_order=True)

    # the end

    def aborted(self, abort: Abort) -> None:
        """Abort the other side's peer as ours did."""
        self._link.end("aborted-by-peer", tell=abort)

    def failed(self, code: str, reason: AbortReason) -> None:
        """Abort the other side's peer, too."""
        if self._link.state is not LinkState.ENDED:
            self._link.fail(code, reason)

    def input_ended(self) -> bool:
        """Tell the other endpoint of our peer's FIN, behind what it sent; True while answers may come."""
        if self._link.state is LinkState.ENDED:
            return False
        if self.closing:
            self._sender.send_close(Closing.WHOLLY)
            self._peer.close()
            self._link.end(self.closing, in_order=True)
            return False
        self._sender.send_close(Closing.HALF)
        self.closing = LOST
        self._link.deadlines.await_close()
        return True

    def closed(self) -> None:
        """Tell the other endpoint that our peer has gone, behind what it sent."""
        if self._link.state is not LinkState.ENDED:
            self._sender.send_close(Closing.WHOLLY)
            self._link.end(self.closing or LOST, in_order=True)

    def close(self, how: int) -> None:
        """Pass on that the other side's peer has closed, in its place behind the messages."""
        link = self._link
        if how == Closing.HALF and not self.closing:
            self.closing = CLOSED_BY_OTHER_SIDE
            if self._peer.end_output():
                return
            if link.owed_answers:
                self._closes_when_answered = True
                return
            self._close()
            return
        self._peer.close()
        link.other_end.segment_consumed()
        link.end(self.closing or CLOSED_BY_OTHER_SIDE)

    def _close(self) -> None:
        """Close our peer's connection, now that it has answered."""
        self._sender.send_close(Closing.WHOLLY)
        self._peer.close()
        self._link.end(self.closing, in_order=True)
