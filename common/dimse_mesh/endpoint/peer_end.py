"""Our peer's end of a link: what it sends and says goes to the other endpoint, in order, as long as that takes more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dimse_mesh.dimse import DimseError
from dimse_mesh.endpoint.link_state import LinkState
from dimse_mesh.endpoint.sender import Sender
from dimse_mesh.endpoint.socket_peer import PROVIDER_ABORT, SocketPeer
from dimse_mesh.schemas.frames import FrameKind
from dimse_mesh.upper_layer import Abort, AbortReason, UpperLayerError, iter_pdvs

if TYPE_CHECKING:
    from dimse_mesh.endpoint.link import Link


class PeerEnd:
    """User of our peer from `Link.establish` on."""

    __slots__ = ("_link", "_peer", "_sender", "accepted_contexts")

    def __init__(self, link: Link, *, peer: SocketPeer, sender: Sender) -> None:
        self._link = link
        self._peer = peer
        self._sender = sender
        self.accepted_contexts: frozenset[int] = frozenset()
        """Ids of the presentation contexts that the target accepted."""

    # what it sends

    def data_received(
        self, pdus: Sequence[tuple[int, memoryview]], index: int, contiguous: memoryview
    ) -> int:
        """Pass on P-DATA-TF `index`, or a run of pending responses that it begins."""
        try:
            behind = self._sender.pass_on_run(pdus, index, contiguous)
            if behind > index:
                return behind
            pdvs = iter_pdvs(pdus[index][1])
            for pdv in pdvs:
                if pdv[0] not in self.accepted_contexts:
                    self._link.fail("unknown-context", AbortReason.INVALID_PDU_PARAMETER_VALUE)
                    return index + 1
            self._sender.pdvs_received(pdvs)
        except (UpperLayerError, DimseError) as error:
            self._link.blame(error)
        return index + 1

    def read_ended(self) -> None:
        """Let go of the receive buffer, and look at whether more may be read."""
        link, sender = self._link, self._sender
        if link.state is LinkState.ENDED:
            return
        sender.end_of_read()
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
        self._link.end("released")

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
        link.other_end.release_consumed()
        link.end("released")

    # the end

    def aborted(self, abort: Abort) -> None:
        """Abort the other side's peer as ours did."""
        self._link.end("aborted-by-peer", tell=abort)

    def failed(self, code: str, reason: AbortReason) -> None:
        """Abort the other side's peer, too."""
        if self._link.state is not LinkState.ENDED:
            self._link.fail(code, reason)

    def closed(self) -> None:
        """Tell the other endpoint that our peer's connection has ended."""
        if self._link.state is not LinkState.ENDED:
            self._link.end("transport-lost", tell=PROVIDER_ABORT)
