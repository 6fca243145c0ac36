"""Binary frames between the two halves of an association: its two ordered directions (docs/architecture.md).

A NATS payload on an instance's `link` or `data` subject is one frame or several in a row, all from the instance that
the subject names as its sender. The tail of an `OperationRequest` is one MESSAGE frame, which a handler passes on to
the instance that it is for. All integers are big-endian. Header, 28 bytes:

    offset  size  field
         0     4  channel       the receiver's number for the association
         4     1  kind          `FrameKind`
         5     1  flags         `WHOLE`, `LAST`
         6     1  context_id    presentation context (MESSAGE, DATA), else 0
         7     1  version       of the protocol: `version.ProtocolVersion.octet`
         8     4  length        bytes of payload behind the header
        12     8  position      of the segment in its direction (ACK, NACK: received up to here)
        20     8  acknowledged  the sender consumed the other direction up to here

A frame of a kind that a receiver doesn't know has been added by a newer minor version. Below 16 it is a segment: it
takes its place in the order and nothing comes of it. From 16 on it is ignored.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from dimse_mesh.schemas.version import VERSION, ProtocolVersion

HEADER = struct.Struct("!IBBBBIQQ")
_VERSION = VERSION.octet
_U32 = struct.Struct("!I")
_U64 = struct.Struct("!Q")

WHOLE = 0x01
"""MESSAGE: the data set, if the command set announces one, is in the payload; else DATA frames follow."""
LAST = 0x02
"""DATA: the data set ends with this frame."""


class FrameKind(IntEnum):
    """What a frame is. Segments (ordered, counted by position) come first."""

    MESSAGE = 1
    """A command set, perhaps with its data set. Payload: length of the command set (4 bytes), command set, data set."""
    DATA = 2
    """A piece of a data set."""
    PDUS = 3
    """Pending responses to one request, as they came: `PdusHead` and whole P-DATA-TF PDUs."""
    RELEASE_RQ = 4
    RELEASE_RP = 5
    CANCEL = 6
    """The segments from `position` on, for the length in the payload (8 bytes), will never be sent. Not a C-CANCEL."""
    CANCELLED = 7
    """The other direction's CANCEL at the position in the payload (8 bytes) came in time: no response follows."""
    CLOSE = 8
    """The sender's peer has closed its connection. Payload: a `Closing` (1 byte)."""
    ACK = 16
    """Position: received without a gap up to here. Acknowledged: consumed up to here. Payload: `AckBody`."""
    PROBE = 17
    """Asks for an ACK at once. Position: its number; 0: not about what is missing. Payload: the asker's channel."""
    ABORT = 18
    """Payload: source and reason of the A-ABORT (PS3.8 §9.3.8), the sender's channel (4 bytes)."""
    RESET = 19
    """There is no such channel. Payload: the channel (4 bytes) that the frame was sent to."""
    TAKEN = 20
    """An executor has the `OpenRequest` of this channel. Payload: its own channel (4 bytes)."""
    NACK = 21
    """An ACK, and what was sent before the PROBE of the number in its body (0: before now) is missing."""


FIRST_CONTROL = FrameKind.ACK
"""Kinds below it are segments."""
MESSAGE_HEAD_LENGTH = 4
"""Bytes of a MESSAGE payload before its command set."""
PDUS_HEAD_LENGTH = 6
"""Bytes of a PDUS payload before its PDUs."""


class Closing(IntEnum):
    """What a peer has closed, in the one byte of a CLOSE frame; what a newer minor version adds counts as `WHOLLY`."""

    HALF = 0
    """It sends no more, and may still read (TCP's FIN)."""
    WHOLLY = 1
    """It is gone."""


class AckBody(NamedTuple):
    """The payload of an ACK or NACK: 12 bytes."""

    arrived: int
    """Bytes of the direction that have arrived, with those behind a gap."""
    probe: int


_ACK_BODY = struct.Struct("!QI")


class PdusHead(NamedTuple):
    """What stands before the PDUs of a PDUS frame: 6 bytes."""

    largest: int
    """Body of the largest PDU, in bytes: it may be too much for the peer."""
    responded_to: int
    """Message id of the request."""


_PDUS_HEAD = struct.Struct("!IH")


def sequence_length(kind: int, payload_length: int) -> int:
    """Return a segment's length in the sequence: by how much it moves the position of its direction."""
    length = payload_length
    if kind == FrameKind.MESSAGE:
        length -= MESSAGE_HEAD_LENGTH
    elif kind == FrameKind.PDUS:
        length -= PDUS_HEAD_LENGTH
    return max(length, 1)


class FrameError(ValueError):
    """A payload that is not a row of whole frames."""


class ForeignFrame(FrameError):
    """A frame of another major version."""

    def __init__(self, version: ProtocolVersion) -> None:
        super().__init__(f"a frame of protocol version {version}")
        self.version = version


class Frame(NamedTuple):
    """One frame, its payload a view into the message that it came in."""

    channel: int
    kind: int
    flags: int
    context_id: int
    position: int
    acknowledged: int
    payload: memoryview


def encode_frame(
    channel: int,
    kind: FrameKind,
    *parts: bytes | memoryview,
    position: int = 0,
    acknowledged: int = 0,
    flags: int = 0,
    context_id: int = 0,
) -> bytes:
    """Return one frame with `parts` joined as its payload."""
    head = encode_head(
        channel,
        kind,
        sum(map(len, parts)),
        position=position,
        acknowledged=acknowledged,
        flags=flags,
        context_id=context_id,
    )
    return b"".join((head, *parts))


def encode_head(
    channel: int,
    kind: FrameKind,
    length: int,
    *,
    position: int,
    acknowledged: int,
    flags: int = 0,
    context_id: int = 0,
) -> bytes:
    """Return what stands before a payload of so many bytes."""
    return HEADER.pack(channel, kind, flags, context_id, _VERSION, length, position, acknowledged)


def message_payload(command: bytes, *data: bytes | memoryview) -> tuple[bytes | memoryview, ...]:
    """Return the payload of a MESSAGE frame, in parts."""
    return _U32.pack(len(command)), command, *data


def decode_message_payload(payload: memoryview) -> tuple[bytes, memoryview]:
    """Return command set and data set of a MESSAGE frame.

    Raises:
        FrameError: the command set is longer than the payload.
    """
    if len(payload) < _U32.size:
        raise FrameError("message frame without a command length")
    end = _U32.size + _U32.unpack_from(payload)[0]
    if end > len(payload):
        raise FrameError("command set longer than its frame")
    return bytes(payload[_U32.size : end]), payload[end:]


def encode_ack_body(body: AckBody) -> bytes:
    """Return the payload of an ACK frame."""
    return _ACK_BODY.pack(*body)


def decode_ack_body(payload: memoryview) -> AckBody:
    """Return what an ACK frame says beside its header.

    Raises:
        FrameError: it is cut short.
    """
    if len(payload) < _ACK_BODY.size:
        raise FrameError("ACK frame without its body")
    return AckBody(*_ACK_BODY.unpack_from(payload))


def encode_pdus_head(head: PdusHead) -> bytes:
    """Return what stands before the PDUs of a PDUS frame."""
    return _PDUS_HEAD.pack(*head)


def decode_pdus_payload(payload: memoryview) -> tuple[PdusHead, memoryview]:
    """Return head and PDUs of a PDUS frame.

    Raises:
        FrameError: it is shorter than its head.
    """
    if len(payload) < _PDUS_HEAD.size:
        raise FrameError("frame of PDUs without its head")
    return PdusHead(*_PDUS_HEAD.unpack_from(payload)), payload[_PDUS_HEAD.size :]


def encode_u32(value: int) -> bytes:
    """Return `value` as 4 bytes."""
    return _U32.pack(value)


def decode_u32(payload: memoryview) -> int:
    """Return the 4 byte number that `payload` begins with."""
    if len(payload) < _U32.size:
        raise FrameError("payload shorter than 4 bytes")
    return int(_U32.unpack_from(payload)[0])


def encode_u64(value: int) -> bytes:
    """Return `value` as 8 bytes."""
    return _U64.pack(value)


def decode_u64(payload: memoryview) -> int:
    """Return the 8 byte number that `payload` begins with."""
    if len(payload) < _U64.size:
        raise FrameError("payload shorter than 8 bytes")
    return int(_U64.unpack_from(payload)[0])


def iter_frames(payload: bytes | memoryview) -> Iterator[Frame]:
    """Yield every frame of a NATS payload.

    Raises:
        FrameError: a header or payload is cut short.
        ForeignFrame: another major version made it; what follows can't be read either.
    """
    view = memoryview(payload)
    while view:
        frame = _first_frame(view)
        yield frame
        view = view[HEADER.size + len(frame.payload) :]


def only_frame(payload: bytes | memoryview) -> Frame:
    """Return the frame that is all of a payload.

    Raises:
        FrameError: it holds none, or something behind it.
    """
    frame = _first_frame(memoryview(payload))
    if HEADER.size + len(frame.payload) != len(payload):
        raise FrameError("another number of frames than one")
    return frame


def _first_frame(view: memoryview) -> Frame:
    size = HEADER.size
    if len(view) < size:
        raise FrameError("frame header cut short")
    channel, kind, flags, context_id, version, length, position, acknowledged = HEADER.unpack_from(view)
    if version != _VERSION and version >> 4 != _VERSION >> 4:
        raise ForeignFrame(ProtocolVersion.of(version))
    payload = view[size : size + length]
    if len(payload) < length:
        raise FrameError("frame payload cut short")
    return Frame(channel, kind, flags, context_id, position, acknowledged, payload)
