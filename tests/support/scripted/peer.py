"""One end of an association: whole PDUs and whole messages, and how it ends."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.support.wire import (
    NO_DATA_SET,
    RELEASE_RQ_PDU,
    VERIFICATION,
    Associate,
    Command,
    Message,
    Pdu,
    PduType,
    Tag,
    p_data,
    request,
)

TIMEOUT = 20.0
_READ = 1 << 18

Sink = Callable[[bytes], None]
"""Takes the fragments of a data set."""


class Closed(AssertionError):
    """The transport connection ended: an orderly close (`reset` false) or a reset."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__("connection reset" if reset else "connection closed")
        self.reset = reset


class Rejected(AssertionError):
    """The association was rejected."""

    def __init__(self, answer: Pdu) -> None:
        self.result, self.source, self.reason = answer.body[1:4]
        super().__init__(f"A-ASSOCIATE-RJ result={self.result} source={self.source} reason={self.reason}")

    @property
    def triple(self) -> tuple[int, int, int]:
        """Result, source and reason."""
        return self.result, self.source, self.reason


class Aborted(AssertionError):
    """The peer sent A-ABORT."""

    def __init__(self, answer: Pdu) -> None:
        self.source, self.reason = answer.body[2:4]
        super().__init__(f"A-ABORT source={self.source} reason={self.reason}")


def no_delay(sock: socket.socket) -> None:
    """Switch Nagle's algorithm off."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@dataclass(slots=True)
class _Partial:
    """A message of which something is missing."""

    command: bytearray = field(default_factory=bytearray)
    data: bytearray | None = None
    """None until the command set is whole."""
    sink: Sink | None = None


class Peer:
    """One end of an association. Every message received whole is kept in `received`, in order."""

    def __init__(self, sock: socket.socket, *, timeout: float = TIMEOUT) -> None:
        self.sock = sock
        sock.settimeout(timeout)
        no_delay(sock)
        self.received: list[Message] = []
        self.request: Associate | None = None
        """The A-ASSOCIATE-RQ of this association, sent or received."""
        self.accept: Associate | None = None
        """The A-ASSOCIATE-AC of this association, received or sent."""
        self.pdv_limit = 0
        """The longest P-DATA-TF body received."""
        self.sink_for: Callable[[Message], Sink | None] = lambda _: None
        """Told each command set that a data set follows; what it returns gets the fragments, and the message none."""
        self._buffer = bytearray()
        self._start = 0
        self._partial: dict[int, _Partial] = {}
        self._ready: list[Message] = []

    # -- bytes

    def send(self, data: bytes | memoryview) -> None:
        """Send bytes as they are.

        Raises:
            Closed: the peer is gone.
        """
        try:
            self.sock.sendall(data)
        except (ConnectionResetError, BrokenPipeError):
            raise Closed(reset=True) from None

    def _take(self, count: int) -> bytes:
        while len(self._buffer) - self._start < count:
            if self._start > 1 << 20:
                del self._buffer[: self._start]
                self._start = 0
            try:
                more = self.sock.recv(_READ)
            except ConnectionResetError:
                raise Closed(reset=True) from None
            if not more:
                raise Closed(reset=False)
            self._buffer += more
        with memoryview(self._buffer) as view:
            taken = bytes(view[self._start : self._start + count])
        self._start += count
        if self._start == len(self._buffer):
            self._buffer.clear()
            self._start = 0
        return taken

    def read_pdu(self) -> Pdu:
        """Return the next PDU.

        Raises:
            Closed: the connection ended.
            TimeoutError: nothing came in time.
        """
        kind, _, length = struct.unpack(">BBI", self._take(6))
        return Pdu(kind, self._take(length))

    def expect_closed(self) -> None:
        """Return once the peer has closed (or reset) the connection; anything else received is an error."""
        try:
            answer = self.read_pdu()
        except Closed:
            return
        raise AssertionError(f"PDU type {answer.kind} where the end of the connection was expected")

    # -- messages

    def send_message(
        self, message: Message, *, max_pdu: int | None = None, sizes: Sequence[int] | None = None
    ) -> None:
        """Send `message`, fragmented to the peer's maximum PDU length, or as told."""
        self.send(p_data(message, max_pdu=self.peer_max_length if max_pdu is None else max_pdu, sizes=sizes))

    def receive(self) -> Message | Pdu:
        """Return the next whole message, or a PDU that is not P-DATA-TF.

        Raises:
            Closed, TimeoutError: as `read_pdu`.
        """
        while not self._ready:
            received = self.read_pdu()
            if received.kind != PduType.P_DATA_TF:
                return received
            self.pdv_limit = max(self.pdv_limit, len(received.body))
            self._add(received.body)
        message = self._ready.pop(0)
        self.received.append(message)
        return message

    def _add(self, body: bytes) -> None:
        offset = 0
        while offset < len(body):
            length, context_id, flags = struct.unpack_from(">IBB", body, offset)
            fragment = body[offset + 6 : offset + 4 + length]
            offset += 4 + length
            partial = self._partial.setdefault(context_id, _Partial())
            if flags & 1:
                assert partial.data is None, "command fragment inside a data set"
                partial.command += fragment
                if flags & 2:
                    self._end_command(context_id, partial)
            else:
                assert partial.data is not None, "data set fragment without a command set"
                if partial.sink is None:
                    partial.data += fragment
                else:
                    partial.sink(fragment)
                if flags & 2:
                    self._complete(context_id, partial)

    def _end_command(self, context_id: int, partial: _Partial) -> None:
        message = Message(context_id, bytes(partial.command))
        if message.number(Tag.DATA_SET_TYPE) == NO_DATA_SET:
            self._complete(context_id, partial)
        else:
            partial.data = bytearray()
            partial.sink = self.sink_for(message)

    def _complete(self, context_id: int, partial: _Partial) -> None:
        self._partial.pop(context_id, None)
        data = None if partial.data is None else bytes(partial.data)
        self._ready.append(Message(context_id, bytes(partial.command), data))

    def receive_message(self) -> Message:
        """Return the next message.

        Raises:
            Aborted: A-ABORT came instead.
            AssertionError: another PDU came instead.
        """
        received = self.receive()
        if isinstance(received, Message):
            return received
        if received.kind == PduType.ABORT:
            raise Aborted(received)
        raise AssertionError(f"PDU type {received.kind} where a message was expected")

    def exchange(self, message: Message) -> Message:
        """Send a request and return the next message."""
        self.send_message(message)
        return self.receive_message()

    def echo(self, message_id: int = 1, *, context_id: int = 1) -> int:
        """Send C-ECHO and return the status."""
        return self.exchange(request(Command.C_ECHO, message_id, VERIFICATION, context_id=context_id)).status

    @property
    def peer_max_length(self) -> int:
        """The maximum PDU length that the other side announced; 0 is unlimited."""
        other = self.accept if self._is_client else self.request
        return other.max_length if other is not None else 16384

    _is_client = True

    # -- association

    def release(self) -> None:
        """Release the association and close."""
        self.send(RELEASE_RQ_PDU)
        answer = self.receive()
        assert isinstance(answer, Pdu)
        assert answer.kind == PduType.RELEASE_RP, f"PDU type {answer.kind} in answer to A-RELEASE-RQ"
        self.close()

    def close(self) -> None:
        """Close the socket; never fails."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def reset(self) -> None:
        """Close the socket so that the peer sees a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RD)  # sends nothing, but wakes a thread that reads
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
