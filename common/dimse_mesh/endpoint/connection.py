"""A DICOM peer's transport connection: bytes from the socket become PDUs, PDUs become bytes.

Thin: it owns the socket, its options and its write buffer, and knows nothing of associations. What arrives goes,
in the event loop's read callback, to the one `PduReceiver`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Protocol, cast

from dimse_mesh.endpoint.distinguished_name import name_text
from dimse_mesh.endpoint.time_shares import TimeShares
from dimse_mesh.mesh import ReceiveBlocks, Turn, TurnWriter, last_long
from dimse_mesh.mesh.errors import report
from dimse_mesh.policy import PeerCertificate
from dimse_mesh.runtime.origin import origin_of
from dimse_mesh.runtime.time_credit import TimeCredit
from dimse_mesh.upper_layer import PDU_HEADER_LENGTH, Framer, FramingError, UpperLayerError

READ_SIZE = 4 * (128 * 1024 + PDU_HEADER_LENGTH)
"""Bytes read at once: four PDUs of the length that we advertise."""
WRITE_HIGH_WATER = 512 * 1024
"""Bytes in the write buffer above which a connection is not writable."""
LEAST_READ = 16 * 1024
"""Bytes that are read at once in any case."""
DISCARDED_FREELY = 64 * 1024 * 1024
"""Bytes that nobody wants any more, and that are read without a pause: an honest peer has as much under way."""
DISCARDED_AT_ONCE = 128 * 1024
"""Bytes beyond those that are read before a pause: a peer that sends on after an A-ABORT costs next to nothing."""
DISCARDING_PAUSE = 0.001
"""Seconds of that pause."""
_A_READ = 2048
"""Bytes that cost as much as a read of none."""
_KEPT_AT_MOST = WRITE_HIGH_WATER // 2
"""Bytes kept until the end of a turn: with more, the transport must say whether it takes them."""

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None) if sys.platform == "linux" else None


class PduReceiver(Protocol):
    """Whoever handles what the peer sends."""

    def pdus_received(
        self, pdus: list[tuple[int, memoryview]], contiguous: memoryview, start: int, until: float
    ) -> int:
        """Handle PDUs of one read. The views are valid until this returns.

        Args:
            contiguous: the bytes of the last PDUs, headers and all: of those that lay wholly in one read.
            start: index of the first that was not handled yet.
            until: when others want their turn, as `perf_counter` says.

        Returns:
            The index behind the last that was handled: one at least. The rest is handed in again.
        """

    def protocol_error(self, error: UpperLayerError) -> None:
        """Handle a PDU that breaks PS3.8; nothing more will be received, and what came before it was handled."""

    def input_ended(self) -> bool:
        """Handle the peer's FIN; return whether it is to be written to any longer. Not called with TLS."""

    def transport_lost(self) -> None:
        """Handle the end of the connection, whoever caused it. Called once."""

    def writable_again(self) -> None:
        """Continue writing: the write buffer has drained."""


class Meter(Protocol):
    """Whoever must know how much comes on a connection, and when it ends."""

    def read(self, size: int) -> bool:
        """Take note of bytes that have come; False: they are too many, and the connection is dropped."""

    def lost(self) -> None:
        """Take note of the end of the connection."""


class PeerConnection(asyncio.BufferedProtocol):
    """One connection to a DICOM peer, either way round.

    Args:
        blocks: that every connection of the event loop is read into.
        shares: of the event loop's time.
        turn: shared by all sockets of the event loop: what is written in a turn leaves at its end.
        max_length: longest PDU body accepted, in bytes; assign `max_length` to change it with the state.
        on_connected: called once with this connection when the transport stands.
    """

    __slots__ = (
        "_blocks",
        "_broken",
        "_closing",
        "_discarded",
        "_discarding",
        "_framer",
        "_going_on",
        "_left",
        "_left_bytes",
        "_left_from",
        "_lent",
        "_limit",
        "_lost",
        "_on_connected",
        "_quickack",
        "_reading",
        "_resting",
        "_share",
        "_shares",
        "_taking",
        "_time_credit",
        "_transport",
        "_turn",
        "_writer",
        "background",
        "bytes_received",
        "lost_by",
        "meter",
        "receiver",
        "writable",
    )

    def __init__(
        self,
        blocks: ReceiveBlocks,
        turn: Turn,
        shares: TimeShares,
        *,
        max_length: int,
        on_connected: Callable[[PeerConnection], None] | None = None,
    ) -> None:
        self._blocks = blocks
        self._lent = 0
        """Bytes of the read that is to come, at most."""
        self._limit = self._share = blocks.read_size
        """Bytes of one read at most, as the owner says; and as what the last reads have cost allows."""
        self._turn = turn
        self._shares = shares
        self._time_credit = TimeCredit()
        self._framer = Framer(max_length=max_length)
        self._on_connected = on_connected
        self._transport: asyncio.Transport | None = None
        self._writer: TurnWriter | None = None
        self._quickack: socket.socket | None = None
        self._reading = self._taking = True
        """Whether the owner wants more; whether the transport reads."""
        self._left: list[tuple[int, memoryview]] = []
        """PDUs that were read, and did not fit into the turn."""
        self._left_from = 0
        """Index of the first of them that was not handed on."""
        self._left_bytes = memoryview(b"")
        self._going_on = False
        self._discarding = False
        self._discarded = 0
        self._resting: asyncio.TimerHandle | None = None
        self._lost = False
        self._broken: UpperLayerError | None = None
        """What came instead of a PDU: nothing more is read."""
        self._closing: asyncio.TimerHandle | None = None
        self.background = False
        """Whether it gives way to others: its turns are none of live traffic."""
        self.receiver: PduReceiver | None = None
        self.writable = True
        self.bytes_received = 0
        self.meter: Meter | None = None
        """Asked about each read, while there is one."""
        self.lost_by: Exception | None = None

    @property
    def max_length(self) -> int:
        """Longest PDU body accepted, in bytes."""
        return self._framer.max_length

    @max_length.setter
    def max_length(self, value: int) -> None:
        self._framer.max_length = value

    @property
    def reading(self) -> bool:
        """Whether the socket is read: not held back."""
        return self._reading

    @property
    def contended(self) -> bool:
        """Whether other connections want the event loop's time, too."""
        return self._shares.contended(self)

    @property
    def in_mid_pdu(self) -> bool:
        """Whether the peer has begun a PDU and not ended it."""
        return self._framer.pending > 0

    @property
    def lost(self) -> bool:
        """Whether the transport is gone."""
        return self._lost

    @property
    def backlog(self) -> int:
        """Bytes that were written and that the peer has not taken."""
        return 0 if self._writer is None else self._writer.backlog

    @property
    def peer_host(self) -> str:
        """The peer's address, for logs and admission."""
        name = self._transport.get_extra_info("peername") if self._transport else None
        return str(name[0]) if isinstance(name, tuple) else ""

    @property
    def tls(self) -> tuple[str, str] | None:
        """TLS version and cipher suite; None: it is plain."""
        found = self._transport.get_extra_info("ssl_object") if self._transport else None
        if found is None or (cipher := found.cipher()) is None:
            return None
        return str(found.version()), str(cipher[0])

    @property
    def descriptor(self) -> int:
        """The socket's; -1: there is none."""
        sock = self._transport.get_extra_info("socket") if self._transport else None
        return -1 if sock is None else int(sock.fileno())

    @property
    def certificate(self) -> PeerCertificate | None:
        """The peer's verified TLS certificate; None: it has sent none."""
        found = self._transport.get_extra_info("peercert") if self._transport else None
        if not found:
            return None
        return PeerCertificate(
            name_text(found.get("subject", ())),
            name_text(found.get("issuer", ())),
            tuple(value for _, value in found.get("subjectAltName", ())),
        )

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the socket's options and tell whoever waits for the connection."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._transport = transport
        self._writer = TurnWriter(transport, self._turn)
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER, low=WRITE_HIGH_WATER // 4)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if _QUICKACK is not None:
                # uvloop makes a new socket object at each get_extra_info: keep one of our own.
                self._quickack = socket.socket(fileno=os.dup(sock.fileno()))
        self._time_credit.address = self._shares.of_address(origin_of(self.peer_host))
        if self._on_connected is not None:
            self._on_connected(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Return where the next read goes."""
        self._lent = self._framer.read_size(min(self._limit, self._share))
        return self._blocks.lend(self._lent)

    def buffer_updated(self, nbytes: int) -> None:
        """Cut what was read into PDUs and hand them on."""
        if self._quickack is not None and nbytes < self._lent and _QUICKACK is not None:
            # A peer with Nagle on waits for our ACK before it sends its next small segment (docs/adr/0003); not
            # one that has filled our buffer.
            self._quickack.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        data = self._blocks.filled(nbytes)
        if self._discarding and not self._lost:
            self._discarded += max(nbytes, _A_READ)
            if self._discarded >= DISCARDED_AT_ONCE:
                self._discarded = 0
                self.rest(DISCARDING_PAUSE)
        if self.receiver is None or self._lost or self._broken is not None:
            return
        self.bytes_received += nbytes
        if self.meter is not None and not self.meter.read(nbytes):
            self.abort()
            return
        try:
            pdus, contiguous = self._framer.cut(data)
        except FramingError as error:
            self._broken = error
            pdus, contiguous = error.completed, data[:0]
        if self._left:  # the transport had this already when it was told to stop
            self._left += [(kind, memoryview(bytes(body))) for kind, body in pdus]
        elif pdus or self._broken is not None or self._limit < self._blocks.read_size:
            self._take_turn(pdus, contiguous, nbytes)
        else:
            self._end_turn(self._shares.begin(self), nbytes, newcomer=self.meter is not None)

    def _take_turn(self, pdus: list[tuple[int, memoryview]], contiguous: memoryview, nbytes: int) -> None:
        """Hand on what was read, or what fits into a turn; and read less at once if that wasn't all of it."""
        end = self._hand_on(pdus, contiguous, 0, nbytes)
        if end < len(pdus):
            self._keep(pdus, contiguous, end)
            self._share = max(min(self._share, nbytes) // 2, LEAST_READ)
        elif self._share < self._blocks.read_size:
            self._share = min(self._share * 2, self._blocks.read_size)

    def _hand_on(
        self, pdus: list[tuple[int, memoryview]], contiguous: memoryview, start: int, nbytes: int
    ) -> int:
        receiver = self.receiver
        if receiver is None:
            return len(pdus)
        newcomer = self.meter is not None
        until = self._shares.begin(self)
        with self._turn:
            try:
                end = receiver.pdus_received(pdus, contiguous, start, until)
            except Exception as error:  # noqa: BLE001 - an error of ours ends this connection, and no other
                report("whoever handles what a peer sends", error)
                end = len(pdus)
                self.abort()
        self._end_turn(until, nbytes, newcomer=newcomer)
        if end >= len(pdus) and self._broken is not None and self.receiver is not None:
            self.receiver.protocol_error(self._broken)
        return end

    def _end_turn(self, until: float, nbytes: int, *, newcomer: bool) -> None:
        """Let the connection rest if it has taken more than its share of the time.

        Args:
            nbytes: that were read for this turn.
            newcomer: whether it had no association yet when the turn began.
        """
        rest = self._shares.end(
            self, until, self._time_credit, nbytes, background=self.background, newcomer=newcomer
        )
        if rest and (
            self.meter is not None or not newcomer
        ):  # who was just let in needn't rest for the others
            self.rest(rest)

    def _keep(self, pdus: list[tuple[int, memoryview]], contiguous: memoryview, start: int) -> None:
        """Copy what has to wait for the next turn, unless it lasts, and read nothing until then."""
        rest = pdus[start:]
        size = sum(len(body) + PDU_HEADER_LENGTH for _, body in rest)
        if size <= len(contiguous):
            left = contiguous[len(contiguous) - size :]
            self._left_bytes = left if last_long((left,), size) else memoryview(bytes(left))
            at = 0
            for kind, body in rest:
                begin, at = at + PDU_HEADER_LENGTH, at + PDU_HEADER_LENGTH + len(body)
                self._left.append((kind, self._left_bytes[begin:at]))
        else:
            self._left_bytes = memoryview(b"")
            self._left = [(kind, memoryview(bytes(body))) for kind, body in rest]
        self._left_from = 0
        self._read_or_not()
        self._go_on_later()

    def _go_on_later(self) -> None:
        if not self._going_on:
            self._going_on = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """Hand on what was left, as far as it fits into a turn."""
        self._going_on = False
        if self._lost or not self._reading or self._resting is not None or not self._left:
            return
        self._left_from = self._hand_on(self._left, self._left_bytes, self._left_from, 0)
        if self._left_from < len(self._left):
            self._go_on_later()
        else:
            self._left, self._left_bytes = [], memoryview(b"")
            self._read_or_not()

    def rest(self, seconds: float) -> None:
        """Read nothing, and hand on nothing, for so many seconds."""
        if self._resting is None and not self._lost:
            self._resting = asyncio.get_running_loop().call_later(seconds, self._rested)
            self._read_or_not()

    def _rested(self) -> None:
        self._resting = None
        if self._left:
            self._go_on_later()
        else:
            self._read_or_not()

    def _read_or_not(self) -> None:
        wanted = self._reading and not self._left and self._resting is None
        if self._transport is None or self._lost or wanted == self._taking:
            return
        self._taking = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Ask the receiver whether the peer may still read, as TCP lets it."""
        receiver, transport = self.receiver, self._transport
        if receiver is None or transport is None or not transport.can_write_eof():
            return False
        return receiver.input_ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the receiver, once."""
        self._lost = True
        self.lost_by = exc
        self.writable = False
        for timer in (self._closing, self._resting):
            if timer is not None:
                timer.cancel()
        if self._quickack is not None:
            self._quickack.close()
            self._quickack = None
        begun = perf_counter()
        meter, self.meter = self.meter, None
        if meter is not None:
            meter.lost()
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.transport_lost()
        if meter is not None:
            self._shares.newcomers_took(perf_counter() - begun)

    def pause_writing(self) -> None:
        """Note that the peer doesn't take what we write."""
        self.writable = False

    def resume_writing(self) -> None:
        """Continue with what waits for the peer."""
        self.writable = True
        if self.receiver is not None:
            self.receiver.writable_again()

    # the owner's side

    def write(self, *parts: bytes | memoryview) -> int:
        """Send whole PDUs, now or at the end of the turn; what is given must not change. Return their size in bytes.

        Bytes beyond `WRITE_HIGH_WATER` are kept but `writable` turns false.
        """
        size = sum(map(len, parts))
        writer = self._writer
        if writer is not None and size:
            writer.write(parts, size)
            if writer.size > _KEPT_AT_MOST:
                writer.flush()
        return size

    def pause_reading(self) -> None:
        """Stop reading the socket, so that TCP slows the peer."""
        if self._reading and self._transport is not None and not self._lost:
            self._reading = False
            self._read_or_not()

    def resume_reading(self, most: int | None = None) -> None:
        """Read the socket again; no more than `most` bytes at a time from now on, if given.

        While that is less than a read may have, the receiver is told of each read, though it completes no PDU.
        """
        if most is not None:
            self._limit = min(most, self._blocks.read_size)
        if not self._reading and self._transport is not None and not self._lost:
            self._reading = True
            if self._left:
                self._go_on_later()
            else:
                self._read_or_not()

    def discard(self) -> None:
        """Read on, but slowly: nothing that comes is of interest, but for the end."""
        if not self._discarding:
            self._discarding = True
            self._discarded = -DISCARDED_FREELY
        self.resume_reading(DISCARDED_AT_ONCE)

    def end_output(self) -> bool:
        """Let the peer know that nothing more comes, when what was written is out; False: TLS can't."""
        transport = self._transport
        if transport is None or self._lost or not transport.can_write_eof():
            return False
        if self._writer is not None:
            self._writer.flush()
            self._writer = None
        transport.write_eof()
        return True

    def close(self, *, within: float) -> None:
        """Close when what was written is out, but after `within` seconds in any case."""
        transport = self._transport
        if transport is None or self._lost:
            return
        if self._writer is not None:
            self._writer.flush()
        transport.close()
        self._closing = asyncio.get_running_loop().call_later(within, self.abort)

    def abort(self) -> None:
        """Drop the connection now."""
        if self._transport is not None and not self._lost:
            self._transport.abort()
