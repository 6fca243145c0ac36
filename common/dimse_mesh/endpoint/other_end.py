"""The other endpoint of a link, as its frames show it: segments for our peer, progress of ours, its own end.

Frames come as the mesh delivers them: late, twice, out of order, or from an endpoint that was given up while the
association was being opened. Segments go to the receiver, which writes them to our peer in their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dimse_mesh.endpoint.connection import PeerConnection
from dimse_mesh.endpoint.inbound import Arrival
from dimse_mesh.endpoint.link_state import LinkState
from dimse_mesh.endpoint.outbound import OutboundError
from dimse_mesh.endpoint.peer_end import PROVIDER_ABORT
from dimse_mesh.endpoint.receiver import Receiver
from dimse_mesh.endpoint.sender import Sender
from dimse_mesh.schemas.frames import (
    WHOLE,
    Frame,
    FrameError,
    FrameKind,
    decode_ack_body,
    decode_u64,
    encode_u32,
    segment_span,
)
from dimse_mesh.upper_layer import Abort

if TYPE_CHECKING:
    from dimse_mesh.endpoint.link import Link


class OtherEnd:
    """The router gives it what arrives for the link."""

    __slots__ = ("_connection", "_link", "_receiver", "_sender", "attached")

    def __init__(self, link: Link, *, connection: PeerConnection, sender: Sender, receiver: Receiver) -> None:
        self._link = link
        self._connection = connection
        self._sender = sender
        self._receiver = receiver
        self.attached = False
        """Whether it has said that it wants the association."""

    def frame_received(self, frame: Frame) -> None:
        """Handle a frame."""
        self._link.guarded(lambda: self._handle(frame))

    def _handle(self, frame: Frame) -> None:
        if frame.kind < FrameKind.ACK:
            self._segment(frame)
        else:
            self._control(frame)

    def _segment(self, frame: Frame) -> None:
        kind = frame.kind
        self.attached = True
        if frame.acknowledged:
            self._acknowledged(frame.acknowledged)
        if kind == FrameKind.SKIP:
            if not self._receiver.inbound.skip(frame.position, decode_u64(frame.payload)):
                self._link.fail("skipped-in-mid-message")
                return
            self.pump()
        else:
            span = segment_span(kind, len(frame.payload))
            self._arrived(Arrival(frame.position, span, kind, frame.flags, frame.context_id, frame.payload))

    def _control(self, frame: Frame) -> None:
        kind, link = frame.kind, self._link
        if kind != FrameKind.PROBE:  # which is also sent by who waits for the reply
            self.attached = True
        if kind == FrameKind.ABORT:
            if self._is_from_remote(frame.payload[2:]):
                source, reason = (frame.payload[0], frame.payload[1]) if len(frame.payload) >= 2 else (2, 0)
                link.end("aborted-by-other-side", abort=Abort(source, reason))
        elif kind == FrameKind.GONE:
            if self._is_from_remote(frame.payload):
                link.end("other-side-gone", abort=PROVIDER_ABORT)
            else:
                link.router.stranger_gone(link, frame)
        elif kind == FrameKind.ACK:
            if link.state is LinkState.OPENING:
                link.router.openings.reply_lost(link.identity.local.channel)
                return
            body = decode_ack_body(frame.payload)
            self._acknowledged(frame.acknowledged, received=frame.position, arrived=body.arrived)
            if frame.flags & WHOLE:
                link.deadlines.missing_told(body.probe, body.arrived)
        elif kind == FrameKind.PROBE:
            if self._is_from_remote(frame.payload):
                if frame.acknowledged:
                    self._acknowledged(frame.acknowledged)
                self.send_acknowledgement(probe=frame.position or None)
            else:
                link.router.stranger_asks(link, frame)
        elif kind == FrameKind.TAKEN:
            if not self._is_from_remote(frame.payload):  # else: overtaken by the reply
                link.router.taken(frame)
        else:
            raise FrameError("a frame of unknown kind")

    def _is_from_remote(self, sender: memoryview) -> bool:
        """Tell whether a frame comes from our other endpoint, not from one that was given up while opening."""
        remote = self._link.identity.remote
        return remote is not None and sender == encode_u32(remote.channel) + remote.instance.encode()

    def operation_approved(self, arrival: Arrival, acknowledged: int) -> None:
        """Handle a request that came through a handler."""

        def handle() -> None:
            self.attached = True
            if acknowledged:
                self._acknowledged(acknowledged)
            self._arrived(arrival)

        self._link.guarded(handle)

    def operation_refused(self, position: int, status: int) -> None:
        """Handle the refusal of an operation of our own peer, by a handler."""
        link = self._link
        operation = link.operations.at(position)
        if operation is None or operation.void or position < self._sender.outbound.received:
            return  # answered already, or another handler has let it pass
        link.guarded(lambda: link.outcomes.void(operation, status, "refused"))

    def _arrived(self, arrival: Arrival) -> None:
        if self._link.state is LinkState.ENDED:
            return
        if not self._receiver.inbound.accept(arrival):
            self.send_acknowledgement()
            return
        self.pump()

    def pump(self) -> None:
        """Write to our peer what it takes, and acknowledge that."""
        link = self._link
        self._receiver.pump()
        if link.state is LinkState.ENDED:
            return
        inbound = self._receiver.inbound
        if not self._connection.writable:
            link.router.watch(link)
        if inbound.must_acknowledge:
            self.send_acknowledgement()
        elif inbound.owes_acknowledgement:
            link.router.acknowledge_later(link)

    # acknowledgements

    def _acknowledged(self, consumed: int, received: int = 0, arrived: int = 0) -> None:
        outbound = self._sender.outbound
        if outbound.acknowledge(consumed=consumed, received=received, arrived=arrived):
            self._link.deadlines.progress()
            if not self._connection.reading:
                self._link.regulate()
        if outbound.path is not None:
            outbound.path.let_read()

    def acknowledge_if_owed(self) -> None:
        """Send the acknowledgement that no other frame has carried meanwhile."""
        if self._receiver.inbound.owes_acknowledgement:
            self.send_acknowledgement()

    def send_acknowledgement(self, *, probe: int | None = None) -> None:
        """Say what was received and consumed; `probe`: and that what else was sent before it (0: so far) was lost."""
        remote, inbound = self._link.identity.remote, self._receiver.inbound
        if remote is not None:
            self._link.router.courier.send_ack(
                remote,
                received=inbound.received,
                arrived=inbound.take_arrived(),
                consumed=inbound.take_acknowledgement(),
                probe=probe,
            )

    def release_consumed(self) -> None:
        """Acknowledge the A-RELEASE that was just passed on: it is the last thing that our peer got."""
        self._receiver.inbound.consumed_next()
        self.send_acknowledgement()

    def still_unacknowledged(self, frame: Frame) -> bool:
        """After a release: handle an ACK of what was sent last; return whether something is still missing."""
        outbound = self._sender.outbound
        if frame.kind == FrameKind.ACK:
            try:
                body = decode_ack_body(frame.payload)
                outbound.acknowledge(
                    consumed=frame.acknowledged, received=frame.position, arrived=body.arrived
                )
            except OutboundError:
                return False
            if frame.flags & WHOLE:
                self._link.deadlines.missing_told(body.probe, body.arrived)
        elif frame.kind == FrameKind.PROBE:
            self.send_acknowledgement(probe=frame.position or None)
        return not outbound.idle
