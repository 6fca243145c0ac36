"""A request on its way through a handler, as handler and sink read it."""

from __future__ import annotations

from dataclasses import dataclass, field

from dimse_mesh.dimse import CommandHead, parse_head
from dimse_mesh.mesh import EnvelopeError, unpack_known
from dimse_mesh.runtime.hosted_handlers import OperationMessage
from dimse_mesh.schemas.frames import (
    Frame,
    FrameError,
    FrameKind,
    decode_message_payload,
    only_frame,
)
from dimse_mesh.schemas.operation import OperationRequest
from dimse_mesh.streams.inbound import Arrival


@dataclass(slots=True)
class ApprovedRequest(Arrival):
    """A request that a handler has approved, as one of its own operations."""

    head: CommandHead = field(kw_only=True)
    """Of its command set, as it was read for the approval."""


def read_operation(payload: bytes) -> tuple[OperationMessage, Frame]:
    """Read the payload of a request; return what it says, and the frame that its sink is to get.

    Raises:
        EnvelopeError: it isn't one, or is of another major version.
        CommandSetError: its command set can't be read.
    """
    request, tail = unpack_known(OperationRequest, payload)
    try:
        frame = only_frame(tail)
        if frame.kind != FrameKind.MESSAGE:
            raise EnvelopeError("an operation whose frame is no message")
        command, _ = decode_message_payload(frame.payload)
    except FrameError as error:
        raise EnvelopeError(f"an operation without its frame: {error}") from error
    return OperationMessage(request, frame.position, command, parse_head(command)), frame
