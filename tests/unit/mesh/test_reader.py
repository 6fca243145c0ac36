"""The reader of nats-server's protocol: every split, every size, and garbage."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.mesh import Turn
from dimse_mesh.mesh.reader import Reader

Message = tuple[int, str, str, bytes, bytes]
MAX_MESSAGE = 2 << 20


@dataclass
class Seen:
    """A sink that keeps everything, in order."""

    events: list[Message | bytes] = field(default_factory=list)
    ends: list[Exception | None] = field(default_factory=list)

    def on_message(self, sid: int, subject: str, reply: str, header: bytes, payload: bytes) -> None:
        self.events.append((sid, subject, reply, header, payload))

    def on_control(self, line: bytes) -> None:
        self.events.append(line)

    def on_room(self) -> None:
        self.events.append(b"room")

    def on_end(self, reason: Exception | None) -> None:
        self.ends.append(reason)


def deliver(reader: Reader, data: bytes) -> None:
    """Put bytes where the reader wants them, as a transport does."""
    while data:
        buffer = reader.get_buffer(-1)
        assert len(buffer) > 0
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        data = data[size:]
        reader.buffer_updated(size)


def encode(event: Message | bytes) -> bytes:
    if isinstance(event, bytes):
        return event + b"\r\n"
    sid, subject, reply, header, payload = event
    to = f"{subject} {sid} {reply}" if reply else f"{subject} {sid}"
    total = len(header) + len(payload)
    line = f"HMSG {to} {len(header)} {total}" if header else f"MSG {to} {total}"
    return f"{line}\r\n".encode() + header + payload + b"\r\n"


EVENTS: list[Message | bytes] = [
    b'INFO {"server_id":"A"}',
    b"PING",
    (1, "DIMSE.i.a.link", "", b"", b"payload"),
    (2, "a", "reply.to", b"", b""),
    (3, "a", "", b"NATS/1.0 503\r\n\r\n", b""),
    (4, "a", "reply.to", b"NATS/1.0\r\na: b\r\n\r\n", b"MSG a 1 3\r\nabc\r\n"),
    b"-ERR 'Permissions Violation'",
    b"PONG",
]
WIRE = b"".join(map(encode, EVENTS))


@pytest.mark.parametrize("split", range(len(WIRE) + 1))
def test_any_split_gives_the_same_events(split: int) -> None:
    seen = Seen()
    reader = Reader(seen, Turn(), max_message=MAX_MESSAGE)
    deliver(reader, WIRE[:split])
    deliver(reader, WIRE[split:])
    assert (seen.events, seen.ends) == (EVENTS, [])


def test_bytes_read_by_somebody_else_come_first() -> None:
    seen = Seen()
    reader = Reader(seen, Turn(), max_message=MAX_MESSAGE)
    reader.feed(WIRE[:40])
    deliver(reader, WIRE[40:])
    assert seen.events == EVENTS


@given(
    sizes=st.lists(st.integers(0, 400_000), min_size=1, max_size=8),
    piece=st.integers(1_000, 300_000),
)
def test_payloads_of_any_size_in_pieces_of_any_size_stay_whole(sizes: list[int], piece: int) -> None:
    events: list[Message | bytes] = [
        (number, "a.b", "", b"", bytes([number]) * size) for number, size in enumerate(sizes)
    ]
    wire = b"".join(map(encode, events))
    seen = Seen()
    reader = Reader(seen, Turn(), max_message=MAX_MESSAGE)
    for start in range(0, len(wire), piece):
        deliver(reader, wire[start : start + piece])
    assert seen.events == events


def test_a_delivered_payload_does_not_change_when_more_is_read() -> None:
    seen = Seen()
    reader = Reader(seen, Turn(), max_message=MAX_MESSAGE)
    deliver(reader, encode((1, "a", "", b"", b"x" * 1000)))
    deliver(reader, encode((1, "a", "", b"", b"y" * 1000)))
    assert [event[4][:1] for event in seen.events if isinstance(event, tuple)] == [b"x", b"y"]


@pytest.mark.parametrize(
    "line",
    [
        b"MSG a 1\r\n",
        b"MSG a 1 b 2 3\r\n",
        b"MSG a one 3\r\n",
        b"MSG a 1 -3\r\n",
        b"MSG a 1 99999999\r\n",
        b"HMSG a 1 20 10\r\n",
    ],
)
def test_a_malformed_message_line_ends_the_connection(line: bytes) -> None:
    seen = Seen()
    deliver(Reader(seen, Turn(), max_message=MAX_MESSAGE), line)
    assert seen.events == []
    assert isinstance(seen.ends[0], Exception)


def test_a_subject_of_any_bytes_is_delivered_and_ends_nothing() -> None:
    """Whoever may publish to a pattern may put any bytes into a token: everybody who listens would be cut off."""
    seen = Seen()
    deliver(Reader(seen, Turn(), max_message=MAX_MESSAGE), b"MSG live.\xff 1 re\xff 1\r\nx\r\nPING\r\n")
    assert seen.events == [(1, "live.\ufffd", "re\ufffd", b"", b"x"), b"PING"]
    assert seen.ends == []


def test_a_line_without_an_end_is_not_kept_for_ever() -> None:
    seen = Seen()
    reader = Reader(seen, Turn(), max_message=MAX_MESSAGE)
    for _ in range(200):
        deliver(reader, b"x" * 10_000)
        if seen.ends:
            break
    assert isinstance(seen.ends[0], Exception)


def test_the_end_is_told() -> None:
    seen = Seen()
    reader = Reader(seen, Turn(), max_message=MAX_MESSAGE)
    reader.eof_received()
    reader.connection_lost(ConnectionResetError())
    assert seen.ends[0] is None
    assert isinstance(seen.ends[1], ConnectionResetError)
