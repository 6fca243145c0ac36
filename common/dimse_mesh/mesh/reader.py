"""Reads what nats-server sends, in the transport's own callback: no task, no queue, one copy of each payload.

nats-py's reader wakes a task for each read of at most 32 KiB, matches up to seven regular expressions a message and
copies each payload twice. Whoever gets a message here gets it before the next byte is read from the socket.

Protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol

    INFO {json}                                      PING        +OK
    MSG subject sid [reply] size                     PONG        -ERR 'text'
    HMSG subject sid [reply] header-size total-size
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from dimse_mesh.mesh.turn import Turn

_CAPACITY = 512 * 1024
_ROOM = 64 * 1024
"""At least this much is free at the buffer's end before a read."""
_MAX_LINE = 1 << 20
"""An INFO that lists a large cluster is long; nothing is longer than this."""


class Sink(Protocol):
    """Gets what was read. Its methods may not raise."""

    def on_message(self, sid: int, subject: str, reply: str, header: bytes, payload: bytes) -> None:
        """Take a message; `header` is the raw header block, or empty."""

    def on_control(self, line: bytes) -> None:
        """Take a line that is not a message: INFO, PING, PONG, +OK, -ERR."""

    def on_room(self) -> None:
        """The transport's backlog, which had grown, is small again."""

    def on_end(self, reason: Exception | None) -> None:
        """Nothing more will come. None: the server closed the connection."""


class MalformedStream(Exception):
    """The server sent what is not the NATS protocol."""


class Reader(asyncio.BufferedProtocol):
    """The protocol of a transport to nats-server, after its handshake. Each read is a `turn`."""

    def __init__(self, sink: Sink, turn: Turn, *, max_message: int) -> None:
        self._sink = sink
        self._turn = turn
        self._max_message = max_message
        self._buffer = bytearray(_CAPACITY)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        self._need = 0
        """Bytes from `_start` until the next message is complete, once its line was read."""
        self._message: tuple[int, str, str, int, int, int] = (0, "", "", 0, 0, 0)
        """sid, subject, reply, offset of header, of payload and of the end, from `_start`."""

    # --- asyncio.BufferedProtocol

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's interface
        """Return where the next bytes go."""
        self._make_room()
        return self._view[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        """Take the bytes that were put there."""
        self._end += nbytes
        with self._turn:
            try:
                self._parse()
            except (ValueError, MalformedStream) as exc:
                self._sink.on_end(exc)

    def eof_received(self) -> bool:
        """End."""
        self._sink.on_end(None)
        return False

    def resume_writing(self) -> None:
        """Tell that there is room."""
        self._sink.on_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._sink.on_end(exc)

    def feed(self, data: bytes) -> None:
        """Take bytes that somebody else read from the socket."""
        while data:
            self._make_room()
            size = min(len(data), len(self._buffer) - self._end)
            self._view[self._end : self._end + size] = data[:size]
            data = data[size:]
            self.buffer_updated(size)

    # --- parsing

    def _make_room(self) -> None:
        """See to it that the message that is being read fits in one piece, and that there is room to read."""
        held = self._end - self._start
        if not held:
            self._start = self._end = 0
        wanted = max(self._need, held) + _ROOM
        if self._start + wanted <= len(self._buffer):
            return
        target = self._buffer if wanted <= len(self._buffer) else bytearray(wanted)
        target[:held] = self._buffer[self._start : self._end]
        self._buffer, self._view = target, memoryview(target)
        self._start, self._end = 0, held

    def _parse(self) -> None:
        buffer = self._buffer
        while True:
            if self._need:
                if self._end - self._start < self._need:
                    return
                self._deliver()
                continue
            line_end = buffer.find(b"\r\n", self._start, self._end)
            if line_end < 0:
                if self._end - self._start > _MAX_LINE:
                    raise MalformedStream("a protocol line without an end")
                return
            line = bytes(self._view[self._start : line_end])
            if line[:4] == b"MSG ":
                self._begin(line, line[4:].split(), has_header=False)
            elif line[:5] == b"HMSG ":
                self._begin(line, line[5:].split(), has_header=True)
            else:
                self._start = line_end + 2
                self._sink.on_control(line)

    def _begin(self, line: bytes, words: list[bytes], *, has_header: bool) -> None:
        plain = 4 if has_header else 3
        if len(words) == plain + 1:
            reply = words[2].decode(errors="replace")
        elif len(words) == plain:
            reply = ""
        else:
            raise MalformedStream("a message line with too few or too many words")
        size = int(words[-1])
        header_size = int(words[-2]) if has_header else 0
        if not 0 <= header_size <= size <= self._max_message:
            raise MalformedStream("a message of impossible size")
        header = len(line) + 2
        # Any bytes may stand in a subject: what is no text is nobody's address, and ends nothing.
        subject = words[0].decode(errors="replace")
        self._message = (int(words[1]), subject, reply, header, header + header_size, header + size)
        self._need = header + size + 2

    def _deliver(self) -> None:
        sid, subject, reply, header, payload, end = self._message
        start, view = self._start, self._view
        self._start += self._need
        self._need = 0
        self._sink.on_message(
            sid,
            subject,
            reply,
            bytes(view[start + header : start + payload]) if payload > header else b"",
            bytes(view[start + payload : start + end]),
        )
