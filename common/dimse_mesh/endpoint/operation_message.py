"""A request on its way through a handler, as handler and sink read it."""

from __future__ import annotations

from typing import NamedTuple

from dimse_mesh.dimse import CommandHead, parse_head
from dimse_mesh.mesh import EnvelopeError, unpack_known
from dimse_mesh.schemas.frames import Frame, FrameError, FrameKind, decode_message_payload, only_frame
from dimse_mesh.schemas.operation import OperationRequest


class OperationMessage(NamedTuple):
    """Who asks, and what."""

    request: OperationRequest
    frame: Frame
    command: bytes
    head: CommandHead


def read_operation(payload: bytes) -> OperationMessage:
    """Read the payload of a request.

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
    return OperationMessage(request, frame, command, parse_head(command))
