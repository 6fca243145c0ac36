"""Scripted DICOM peers on a memory transport: they note every message that they send and receive."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dimse_mesh.endpoint import PeerConnection
from tests.support.wire import (
    NO_DATA_SET,
    RELEASE_RP_PDU,
    RELEASE_RQ_PDU,
    Message,
    Pdu,
    PduType,
    Tag,
    abort,
    p_data,
    parse_command,
)
from tests.unit.endpoint.memory_transport import MemoryTransport


class MemoryPeer:
    """A peer whose association stands.

    Attributes:
        received: whole messages, in order.
        sent: the same of what it sent.
        aborts: source and reason of each A-ABORT received.
        on_message: called for each message received.
    """

    def __init__(self, connection: PeerConnection, *, tls: bool = False) -> None:
        self.connection = connection
        self.transport = MemoryTransport(
            connection, self._bytes_received, self._gone, None if tls else self._eof_received
        )
        self.received: list[Message] = []
        self.sent: list[Message] = []
        self.aborts: list[tuple[int, int]] = []
        self.controls: list[int] = []
        """Types of the other PDUs received."""
        self.longest_pdu = 0
        self.closed = False
        self.released = False
        """Whether it has had the answer to its release, or has given one."""
        self.accepts_release = True
        self.ended = False
        """Whether it was told that nothing more comes."""
        self.closes_at_eof = True
        self.on_message: Callable[[Message], None] = lambda _: None
        self.sizes: Sequence[int] | None = None
        self.max_pdu = 16384
        self._buffer = bytearray()
        self._command = bytearray()
        self._command_whole = False
        self._data: bytearray | None = None
        self._releasing = False

    # what it does

    def send(self, message: Message) -> None:
        """Send a whole message."""
        self.sent.append(message)
        self.transport.feed(p_data(message, max_pdu=self.max_pdu, sizes=self.sizes))

    def release(self) -> None:
        """Ask for release."""
        self._releasing = True
        self.transport.feed(RELEASE_RQ_PDU)

    def abort(self, source: int = 0, reason: int = 0) -> None:
        """Send A-ABORT and close."""
        self.transport.feed(abort(source, reason))
        self.transport.feed_eof()

    def stall(self, *, stalled: bool) -> None:
        """Take nothing of what is sent, or everything again."""
        self.transport.stall(stalled=stalled)

    # what happens to it

    def _gone(self) -> None:
        self.closed = True

    def _eof_received(self) -> None:
        self.ended = True
        if self.closes_at_eof:
            self.transport.feed_eof()

    def _bytes_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 6:
            end = 6 + int.from_bytes(self._buffer[2:6], "big")
            if len(self._buffer) < end:
                return
            pdu = Pdu(self._buffer[0], bytes(self._buffer[6:end]))
            del self._buffer[:end]
            self._pdu(pdu)

    def _pdu(self, pdu: Pdu) -> None:
        assert not self.aborts, "something came behind an A-ABORT"
        if pdu.kind == PduType.P_DATA_TF:
            assert not self.released, "a message behind the release"
            self.longest_pdu = max(self.longest_pdu, len(pdu.body))
            self._pdvs(pdu.body)
        elif pdu.kind == PduType.ABORT:
            self.aborts.append((pdu.body[2], pdu.body[3]))
            self.transport.feed_eof()
        elif pdu.kind == PduType.RELEASE_RQ:
            self.controls.append(pdu.kind)
            if self.accepts_release:
                self.transport.feed(RELEASE_RP_PDU)
                self.released = not self._releasing
        elif pdu.kind == PduType.RELEASE_RP:
            self.controls.append(pdu.kind)
            assert self._releasing
            self.released = True
            if self.accepts_release:
                self.transport.feed_eof()
        else:
            raise AssertionError(f"PDU of type {pdu.kind}")

    def _pdvs(self, body: bytes) -> None:
        while body:
            length = int.from_bytes(body[:4], "big")
            context_id, flags, fragment = body[4], body[5], body[6 : 4 + length]
            body = body[4 + length :]
            if flags & 1:
                assert self._data is None, "a command inside a data set"
                self._command += fragment
                if flags & 2:
                    follows = int.from_bytes(parse_command(bytes(self._command))[Tag.DATA_SET_TYPE], "little")
                    if follows == NO_DATA_SET:
                        self._message(context_id, None)
                    else:
                        self._data = bytearray()
            else:
                assert self._data is not None, "a data set without its command"
                self._data += fragment
                if flags & 2:
                    self._message(context_id, bytes(self._data))

    def _message(self, context_id: int, data: bytes | None) -> None:
        message = Message(context_id, bytes(self._command), data)
        self._command.clear()
        self._data = None
        self.received.append(message)
        self.on_message(message)
