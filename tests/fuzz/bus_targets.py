"""What comes over NATS: its own protocol, frames, envelopes, subjects, JetStream's replies, what streams hold."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence

from pydantic import BaseModel

from dimse_mesh.dimse import CommandSet, DimseError
from dimse_mesh.endpoint.operation_message import read_operation
from dimse_mesh.isolation.frames import LENGTH, NotAnAnswer, decode_head, encode_head
from dimse_mesh.mesh import EnvelopeError, Message, StoredMessage, Turn, pack, unpack
from dimse_mesh.mesh.errors import MeshError
from dimse_mesh.mesh.jetstream_replies import Gathering, read_reply
from dimse_mesh.mesh.reader import MalformedStream, Reader
from dimse_mesh.runtime.tracing import is_sampled, parse_traceparent, traceparent_in
from dimse_mesh.schemas.addresses import parse_address, sender_of
from dimse_mesh.schemas.frames import (
    WHOLE,
    AckBody,
    FrameError,
    FrameKind,
    PdusHead,
    decode_ack_body,
    decode_message_payload,
    decode_pdus_payload,
    decode_u32,
    decode_u64,
    encode_ack_body,
    encode_frame,
    encode_pdus_head,
    encode_u32,
    encode_u64,
    iter_frames,
    message_payload,
    sequence_length,
)
from dimse_mesh.schemas.operation import OperationRequest, Refusal
from dimse_mesh.schemas.spool_subjects import parse_stream
from dimse_mesh.schemas.tokens import decode_token, encode_token
from dimse_mesh.spool.reader import Unreadable, parse_object
from tests.compat.record import MANIFEST, MODELS
from tests.fuzz.peer_targets import store
from tests.fuzz.target import FuzzTarget

KINDS: tuple[type[BaseModel], ...] = tuple(dict.fromkeys(map(type, MODELS)))
"""Every model of the wire."""
MOST_MESSAGE = 1 << 16


class _Heard:
    """What a `Reader` has told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.ended: Exception | None = None

    def on_message(self, sid: int, subject: str, reply: str, header: bytes, payload: bytes) -> None:
        self.told.append((sid, subject, reply, header, payload))

    def on_control(self, line: bytes) -> None:
        self.told.append((line,))

    def on_room(self) -> None:
        raise AssertionError("nobody asked")

    def on_end(self, reason: Exception | None) -> None:
        self.ended = reason


def nats_stream(data: bytes) -> None:
    """Read what a nats-server sends, whole and in pieces: the same is heard."""
    heard = []
    for size in (len(data) or 1, 3):
        sink = _Heard()
        reader = Reader(sink, Turn(), max_message=MOST_MESSAGE)
        for at in range(0, len(data), size):
            reader.feed(data[at : at + size])
            if sink.ended is not None:
                assert isinstance(sink.ended, ValueError | MalformedStream)
                break
        heard.append(sink.told)
    assert heard[0] == heard[1]


def frames(data: bytes) -> None:
    """Read frames and their payloads."""
    with contextlib.suppress(FrameError):
        for frame in iter_frames(data):
            assert sequence_length(frame.kind, len(frame.payload)) >= 1
            for decode in (
                decode_message_payload,
                decode_ack_body,
                decode_pdus_payload,
                decode_u32,
                decode_u64,
            ):
                with contextlib.suppress(FrameError):
                    decode(frame.payload)


def envelopes(data: bytes) -> None:
    """Read a message as the model that its first byte says."""
    model = KINDS[data[0] % len(KINDS)] if data else KINDS[0]
    with contextlib.suppress(EnvelopeError):
        head, tail = unpack(model, data[1:])
        again, rest = unpack(model, pack(head, tail))
        assert (again, rest) == (head, tail)


def operations(data: bytes) -> None:
    """Read an operation and a refusal, with their command sets."""
    with contextlib.suppress(EnvelopeError, DimseError):
        request = read_operation(data)[0].request
        parse_address(request.source)
        parse_address(request.sink)
    with contextlib.suppress(EnvelopeError, DimseError):
        _, tail = unpack(Refusal, data)
        _ = CommandSet.parse(bytes(tail)).status


def subjects(data: bytes) -> None:
    """Read subjects, addresses, tokens, names of streams, and the trace context beside them."""
    text = data.decode("utf-8", "replace")
    sender_of(text)
    address = parse_address(text)
    assert address is None or address.tokens == text
    parse_stream("DIMSE", text)
    assert decode_token(encode_token(text)) == text
    with contextlib.suppress(ValueError):
        assert encode_token(decode_token(text)) == text
    carried = traceparent_in({"traceparent": text})
    assert carried == text or len(text) > 256
    if carried is not None:
        is_sampled(carried)
        parse_traceparent(carried)


def jetstream_replies(data: bytes) -> None:
    """Read replies of JetStream's API, and a message of a batch with any headers."""
    with contextlib.suppress(MeshError):
        read_reply(data)
    values = data.decode("latin-1").split("\n")
    names = ("Nats-Num-Pending", "Nats-Sequence", "Nats-Subject", "Nats-Msg-Id", "Nats-Last-Sequence")
    for status in (0, 204, 404, 503):
        gathering = Gathering("DIRECT.GET.X")
        gathering.receive(
            Message("X", "", data, dict(zip(names, values, strict=False)), status == 503, status)
        )
        assert gathering.pending >= 0


def spooled_objects(data: bytes) -> None:
    """Read what stands in a spool where a manifest should."""
    found = parse_object(StoredMessage(7, "x", data))
    assert found.sequence == 7
    if not isinstance(found, Unreadable):
        assert found.message == data


def isolated_answers(data: bytes) -> None:
    """Read what a process sends that is kept apart."""
    with contextlib.suppress(NotAnAnswer):
        head, lengths = decode_head(data)
        assert encode_head(head, [])
        assert min(lengths, default=0) >= 0


def _frames() -> Sequence[bytes]:
    bodies = {
        FrameKind.MESSAGE: b"".join(message_payload(store(), b"data")),
        FrameKind.DATA: b"data",
        FrameKind.PDUS: encode_pdus_head(PdusHead(10, 1)) + b"pdus",
        FrameKind.CANCEL: encode_u64(1),
        FrameKind.CANCELLED: encode_u64(1),
        FrameKind.CLOSE: b"\0",
        FrameKind.ACK: encode_ack_body(AckBody(1, 0)),
        FrameKind.PROBE: encode_u32(1),
        FrameKind.ABORT: b"\2\0" + encode_u32(1),
        FrameKind.NACK: encode_ack_body(AckBody(1, 1)),
    }
    each = [encode_frame(7, kind, body, position=1, acknowledged=2) for kind, body in bodies.items()]
    return [*each, b"".join(each)]


def _envelopes() -> Sequence[bytes]:
    return [bytes((KINDS.index(type(model)),)) + pack(model, b"tail") for model in MODELS]


def _operations() -> Sequence[bytes]:
    frame = encode_frame(7, FrameKind.MESSAGE, *message_payload(store()), position=1, flags=WHOLE)
    tails: dict[type[BaseModel], bytes] = {OperationRequest: frame, Refusal: store()}
    return [pack(model, tails[type(model)]) for model in MODELS if type(model) in tails]


def _subjects() -> Sequence[bytes]:
    return [
        b"DIMSE.i.hospital.association.0123456789abcdef.link.cl%20oud.scu.fedcba9876543210",
        b"hospital.association.0123456789abcdef",
        b"DIMSE~hospital~zone~cloud",
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        b"CT%201",
    ]


def _replies() -> Sequence[bytes]:
    error = {"code": 503, "err_code": 10077, "description": "maximum bytes exceeded"}
    return [
        json.dumps({"stream": "X", "seq": 5}).encode(),
        json.dumps({"type": "io.nats", "error": error}).encode(),
        b"3\n4\nsubject\nid.1",
    ]


def _nats() -> Sequence[bytes]:
    header = b"NATS/1.0 503\r\na: b\r\n\r\n"
    return [
        b'INFO {"server_id":"X"}\r\nPING\r\nPONG\r\n+OK\r\n-ERR \'no\'\r\n',
        b"MSG a.b 1 5\r\nhello\r\nMSG a 2 reply 0\r\n\r\n",
        b"HMSG a 1 r %d %d\r\n%sxy\r\n" % (len(header), len(header) + 2, header),
    ]


def _spooled() -> Sequence[bytes]:
    command = store()
    manifest = MANIFEST.model_copy(update={"command_length": len(command)})
    return [pack(manifest, command + b"last piece")]


TARGETS = (
    FuzzTarget("nats-stream", "the protocol of nats-server", nats_stream, _nats),
    FuzzTarget("frames", "frames between the halves of an association", frames, _frames),
    FuzzTarget(
        "envelopes", "messages of every model: heartbeats, openings, slots, ...", envelopes, _envelopes
    ),
    FuzzTarget("operations", "operations and refusals, with their command sets", operations, _operations),
    FuzzTarget("subjects", "subjects, addresses, names of streams, trace context", subjects, _subjects),
    FuzzTarget("jetstream", "JetStream's replies", jetstream_replies, _replies),
    FuzzTarget("spool", "manifests of a spool", spooled_objects, _spooled),
    FuzzTarget(
        "isolated",
        "answers of the process that decodes images or runs hooks",
        isolated_answers,
        lambda: [encode_head({"a": 1}, [b"xy"])[LENGTH.size :]],
    ),
)
