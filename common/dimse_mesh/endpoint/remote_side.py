"""The other endpoint of a half, as its frames show it: segments for our peer, progress of ours, its own end.

Frames come as the mesh delivers them: late, twice, out of order, or from an endpoint that was given up while the
association was being opened. Segments go to the receiver, which writes them to our peer in their order.
"""

from __future__ import annotations

from dimse_mesh.endpoint.faults import FAULTS
from dimse_mesh.endpoint.half_state import HalfState
from dimse_mesh.endpoint.identity import handler_of
from dimse_mesh.endpoint.peer import PROVIDER_ABORT, DicomPeer
from dimse_mesh.endpoint.ports import Half
from dimse_mesh.endpoint.receiver import Receiver
from dimse_mesh.endpoint.sender import Sender
from dimse_mesh.schemas.addresses import InstanceAddress
from dimse_mesh.schemas.frames import (
    Frame,
    FrameKind,
    decode_ack_body,
    decode_u32,
    decode_u64,
)
from dimse_mesh.streams.inbound import Arrival
from dimse_mesh.streams.outbound import OutboundError
from dimse_mesh.upper_layer import Abort


class RemoteSide:
    """The router gives it what arrives for the half."""

    __slots__ = ("_half", "_peer", "_receiver", "_sender", "attached")

    def __init__(self, half: Half, *, peer: DicomPeer, sender: Sender, receiver: Receiver) -> None:
        self._half = half
        self._peer = peer
        self._sender = sender
        self._receiver = receiver
        self.attached = False
        """Whether it has said that it wants the association."""

    def frame_received(self, frame: Frame) -> None:
        """Handle a frame."""
        try:
            if frame.kind < FrameKind.ACK:
                self._segment(frame)
            else:
                self._control(frame)
        except FAULTS as error:
            self._half.blame(error)

    def _segment(self, frame: Frame) -> None:
        kind = frame.kind
        self.attached = True
        if frame.acknowledged:
            self._acknowledged(frame.acknowledged)
        if kind == FrameKind.CANCEL:
            if not self._receiver.inbound.skip(frame.position, decode_u64(frame.payload), frame.payload):
                self._half.fail("cancelled-in-mid-message")
                return
            self.pump()
        else:
            self._arrived(Arrival.of(frame))

    def _control(self, frame: Frame) -> None:
        kind, half = frame.kind, self._half
        if kind != FrameKind.PROBE:  # a PROBE is also sent while the reply is awaited
            self.attached = True
        if kind == FrameKind.ABORT:
            if self._names_remote(frame.payload[2:]):
                source, reason = (frame.payload[0], frame.payload[1]) if len(frame.payload) >= 2 else (2, 0)
                half.end("aborted-by-other-side", abort=Abort(source, reason))
        elif kind == FrameKind.RESET:
            if self._names_remote(frame.payload):
                half.end("other-side-gone", abort=PROVIDER_ABORT)
            else:
                half.instance.frame_of_stranger(half, frame, half.remote.instance)
        elif kind in {FrameKind.ACK, FrameKind.NACK}:
            body = decode_ack_body(frame.payload)
            self._acknowledged(frame.acknowledged, received=frame.position, arrived=body.arrived)
            if kind == FrameKind.NACK:
                half.missing_told(body.probe, body.arrived)
        elif kind == FrameKind.PROBE:
            if self._names_remote(frame.payload):
                if frame.acknowledged:
                    self._acknowledged(frame.acknowledged)
                self.send_acknowledgement(probe=frame.position or None)
            else:
                half.instance.frame_of_stranger(half, frame, half.remote.instance)
        elif kind == FrameKind.TAKEN and not self._names_remote(
            frame.payload
        ):  # else: overtaken by the reply
            half.instance.frame_of_stranger(half, frame, half.remote.instance)

    def _names_remote(self, payload: memoryview) -> bool:
        """Tell whether a frame is about our other half, not about another one in the same instance."""
        return decode_u32(payload) == self._half.remote.channel

    def operation_approved(self, arrival: Arrival, acknowledged: int) -> None:
        """Handle a request that came through a handler."""
        self.attached = True
        try:
            if acknowledged:
                self._acknowledged(acknowledged)
            self._arrived(arrival)
        except FAULTS as error:
            self._half.blame(error)

    def operation_refused(self, position: int, status: int, code: str, *, by: InstanceAddress) -> None:
        """Handle the refusal of an operation of our own peer; only by a handler that was asked for it."""
        half = self._half
        operation = half.operations.at(position)
        if operation is not None and not by.is_handler_of(
            handler_of(operation.head.command_field), half.identity.home_zone
        ):
            return
        if operation is None or operation.void or position < self._sender.outbound.received:
            return  # answered already, or another handler has let it pass
        half.guarded(lambda: half.void(operation, status, code))

    def _arrived(self, arrival: Arrival) -> None:
        if self._half.state is HalfState.ENDED:
            return
        if not self._receiver.inbound.accept(arrival):
            self.send_acknowledgement()
            return
        self.pump()

    def pump(self) -> None:
        """Write to our peer what it takes, and acknowledge that."""
        half = self._half
        self._receiver.pump()
        if half.state is HalfState.ENDED:
            return
        inbound = self._receiver.inbound
        if half.full:
            half.regulate()
        if not self._peer.writable:
            half.instance.watch(half)
        if inbound.must_acknowledge:
            self.send_acknowledgement()
        elif inbound.owes_acknowledgement:
            half.instance.acknowledge_later(half)

    # acknowledgements

    def _acknowledged(self, consumed: int, received: int = 0, arrived: int = 0) -> None:
        outbound = self._sender.outbound
        if outbound.acknowledge(consumed=consumed, received=received, arrived=arrived):
            self._half.progress()
            if not self._peer.reading:
                self._half.regulate()
        if outbound.congestion is not None:
            outbound.congestion.let_read()

    def acknowledge_if_owed(self) -> None:
        """Send the acknowledgement that no other frame has carried meanwhile."""
        if self._receiver.inbound.owes_acknowledgement:
            self.send_acknowledgement()

    def send_acknowledgement(self, *, probe: int | None = None) -> None:
        """Say what was received and consumed; `probe`: and that what else was sent before it (0: so far) was lost."""
        remote, inbound = self._half.identity.remote, self._receiver.inbound
        if remote is not None:
            self._half.instance.courier.send_ack(
                remote,
                received=inbound.received,
                arrived=inbound.take_arrived(),
                consumed=inbound.take_acknowledgement(),
                probe=probe,
            )

    def segment_consumed(self) -> None:
        """Acknowledge the end that was just passed on: it is the last thing that our peer got."""
        self._receiver.inbound.consumed_next()
        self.send_acknowledgement()

    def still_unacknowledged(self, frame: Frame) -> bool:
        """After a release: handle an ACK of what was sent last; return whether something is still missing."""
        outbound = self._sender.outbound
        if frame.kind in {FrameKind.ACK, FrameKind.NACK}:
            try:
                body = decode_ack_body(frame.payload)
                outbound.acknowledge(
                    consumed=frame.acknowledged, received=frame.position, arrived=body.arrived
                )
            except OutboundError:
                return False
            if frame.kind == FrameKind.NACK:
                self._half.missing_told(body.probe, body.arrived)
        elif frame.kind == FrameKind.PROBE:
            self.send_acknowledgement(probe=frame.position or None)
        return not outbound.idle
