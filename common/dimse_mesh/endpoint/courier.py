"""What the halves of one instance send: segments by their lane, and the frames that travel outside the order.

Frames to one instance that are sent in one turn go out as one message. Nothing here waits or remembers: what is not
taken, or gets lost, is found by probes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping

from dimse_mesh.endpoint.carrier import Carrier
from dimse_mesh.endpoint.operation_message import read_operation
from dimse_mesh.mesh import Message
from dimse_mesh.mesh.errors import InvalidSubject, PayloadTooLarge, report
from dimse_mesh.runtime.hosted_handlers import HostedHandler, OperationMessage
from dimse_mesh.runtime.tracing import trace_headers
from dimse_mesh.schemas.addresses import HalfAddress, InstanceAddress
from dimse_mesh.schemas.frames import AckBody, FrameKind, encode_ack_body, encode_frame, encode_u32
from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.schemas.subjects import Kind
from dimse_mesh.streams.outbound import Lane, Segment

BATCH_LIMIT = 60 * 1024
"""Bytes of frames to one instance that are published as one message."""


class Courier:
    """What carries segments and frames. Never waits; False: not taken, send it again later.

    Args:
        hosted: handlers in this process, by the subject on which they would be asked.
    """

    def __init__(self, mesh: Carrier, hosted: Mapping[str, HostedHandler] | None = None) -> None:
        self._mesh = mesh
        self._hosted = {} if hosted is None else hosted
        self._turn = mesh.turn
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._batches: dict[InstanceAddress, list[bytes]] = {}
        self._batch_sizes: dict[InstanceAddress, int] = defaultdict(int)
        self._to = mesh.subjects.to

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be published."""
        return not (self._batches or self._batch_sizes)

    # segments

    def handler_subject(self, home_zone: str, service: ServiceName) -> str:
        """Return the subject of a service's queue group in a zone."""
        return self._mesh.subjects.operations(home_zone, service).sent_by(self._mesh.address)

    def send(
        self, instance: InstanceAddress, segment: Segment, operation: OperationMessage | None = None
    ) -> bool:
        """Send a segment by its lane to `instance`, or to the handlers of its subject; False: not now.

        Args:
            operation: what a request says, if its sender knows it still: a handler in this process needn't read it.
        """
        if segment.lane is Lane.BULK:
            return self._mesh.publish_bulk(self._to(instance, Kind.DATA), segment.payload, *segment.data)
        headers = trace_headers(segment.traceparent)
        if segment.lane is Lane.HANDLER:
            hosted = self._hosted.get(segment.subject)
            if hosted is not None:
                taken = self._ask_here(
                    hosted, Message(segment.subject, "", segment.payload, headers), operation
                )
                if taken is not None:
                    return taken
            reply = self._mesh.subjects.unserved(segment.channel)
            return self._mesh.publish(segment.subject, segment.payload, reply=reply, headers=headers)
        if headers is not None:
            self._flush_to(instance)
            return self._mesh.publish(self._to(instance, Kind.LINK), segment.payload, headers=headers)
        return self.post(instance, segment.payload)

    def _ask_here(
        self, handler: HostedHandler, message: Message, operation: OperationMessage | None
    ) -> bool | None:
        """Have a handler of this process decide; None: it has failed, and the queue group may have one that doesn't."""
        if not self._mesh.connected:
            return False
        try:
            if operation is None:
                operation, _ = read_operation(message.payload)
            return handler(message, operation)
        except (InvalidSubject, PayloadTooLarge):
            raise
        except Exception as error:  # noqa: BLE001 - the association that asks must not suffer
            report("a handler in this process", error)
            return None

    # frames outside the order

    def send_ack(
        self, remote: HalfAddress, *, received: int, arrived: int, consumed: int, probe: int | None = None
    ) -> None:
        """Acknowledge a direction.

        Args:
            probe: what was sent before this PROBE (0: before now), and is not acknowledged, is missing.
        """
        frame = encode_frame(
            remote.channel,
            FrameKind.ACK if probe is None else FrameKind.NACK,
            encode_ack_body(AckBody(arrived, probe or 0)),
            position=received,
            acknowledged=consumed,
        )
        self.post(remote.instance, frame)

    def send_probe(
        self, remote: HalfAddress, local: HalfAddress, *, consumed: int, number: int = 0, bulk: bool = False
    ) -> None:
        """Ask whether the other endpoint is there, and, with a `number`, what it is missing.

        Args:
            bulk: behind the chunks that were sent to it, which the answer is about.
        """
        frame = encode_frame(
            remote.channel,
            FrameKind.PROBE,
            encode_u32(local.channel),
            position=number,
            acknowledged=consumed,
        )
        if bulk:
            self._mesh.publish_bulk(self._to(remote.instance, Kind.DATA), frame)
        else:
            self.post(remote.instance, frame)

    def send_taken(self, remote: HalfAddress, local: HalfAddress) -> None:
        """Tell a front-end that its `OpenRequest` is in our hands."""
        self.post(remote.instance, encode_frame(remote.channel, FrameKind.TAKEN, encode_u32(local.channel)))

    def send_reset(self, remote: HalfAddress, channel: int) -> None:
        """Tell an endpoint that what it takes for its other end, our `channel`, is not there."""
        self.post(remote.instance, encode_frame(remote.channel, FrameKind.RESET, encode_u32(channel)))

    def post(self, instance: InstanceAddress, frame: bytes) -> bool:
        """Publish with the other frames of this turn to the same instance; False: not now.

        Raises:
            PayloadTooLarge: it can't be sent, nor ever could be.
        """
        if not self._mesh.connected:
            return False
        if len(frame) > BATCH_LIMIT:
            self._flush_to(instance)
            return self._mesh.publish(self._to(instance, Kind.LINK), frame)
        if not self._batches:
            self._flush_later()
        elif instance in self._batches and self._batch_sizes[instance] + len(frame) > BATCH_LIMIT:
            self._flush_to(instance)
            if not self._batches:
                self._flush_later()
        self._batches.setdefault(instance, []).append(frame)
        self._batch_sizes[instance] += len(frame)
        return True

    def _flush_later(self) -> None:
        if self._turn.under_way:
            self._turn.at_end(self.flush)
        else:
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Publish what was posted."""
        for instance in list(self._batches):
            try:
                self._flush_to(instance)
            except Exception as error:  # noqa: BLE001 - what is for the others must leave
                report(f"what is sent to {instance}", error)

    def _flush_to(self, instance: InstanceAddress) -> None:
        frames = self._batches.pop(instance, None)
        if frames:
            del self._batch_sizes[instance]
            payload = frames[0] if len(frames) == 1 else b"".join(frames)
            # A refusal here is a lost message: probes find out.
            self._mesh.publish(self._to(instance, Kind.LINK), payload)
