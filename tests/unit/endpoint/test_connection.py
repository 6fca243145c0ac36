"""PeerConnection over real sockets on loopback: reads of any size, back-pressure, every way to end."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from dimse_mesh.endpoint import connection as connection_module
from dimse_mesh.endpoint.connection import (
    DISCARDED_AT_ONCE,
    DISCARDING_PAUSE,
    LEAST_READ,
    WRITE_HIGH_WATER,
    PeerConnection,
)
from dimse_mesh.endpoint.time_shares import TimeShares
from dimse_mesh.mesh import ReceiveBlocks, Turn
from dimse_mesh.upper_layer import PduTooLong, UnrecognizedPdu, UpperLayerError
from tests.support.wire import RELEASE_RQ_PDU, abort, pdu

pytestmark = pytest.mark.anyio

TIMEOUT = 10.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Notes:
    """A receiver that notes what it is told."""

    pdus: list[tuple[int, bytes]] = field(default_factory=list)
    errors: list[UpperLayerError] = field(default_factory=list)
    lost: int = 0
    writable: int = 0
    ended: int = 0
    keeps_open: bool = False
    on_pdus: Callable[[], None] = lambda: None
    most: int = 1 << 30
    """PDUs that it handles in a turn."""
    turns: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def pdus_received(
        self,
        pdus: list[tuple[int, memoryview]],
        contiguous: memoryview,  # noqa: ARG002
        start: int,
        until: float,  # noqa: ARG002
    ) -> int:
        end = min(len(pdus), start + self.most)
        self.pdus += [(kind, bytes(body)) for kind, body in pdus[start:end]]
        self.turns += 1
        self.changed.set()
        self.on_pdus()
        return end

    def protocol_error(self, error: UpperLayerError) -> None:
        self.errors.append(error)
        self.changed.set()

    def input_ended(self) -> bool:
        self.ended += 1
        self.changed.set()
        return self.keeps_open

    def transport_lost(self) -> None:
        self.lost += 1
        self.changed.set()

    def writable_again(self) -> None:
        self.writable += 1
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to be told."""
        async with asyncio.timeout(TIMEOUT):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Counted:
    """A meter that lets everything pass."""

    received: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    """Bytes of each read."""

    def read(self, size: int) -> bool:
        self.received.put_nowait(size)
        return True

    def lost(self) -> None:
        pass


@dataclass
class Pair:
    """A connection and the socket of its peer."""

    connection: PeerConnection
    notes: Notes
    peer: socket.socket

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.peer, data)

    async def read(self, size: int = 1 << 20) -> bytes:
        async with asyncio.timeout(TIMEOUT):
            return await asyncio.get_running_loop().sock_recv(self.peer, size)

    async def read_all(self) -> bytes:
        data = b""
        while piece := await self.read():
            data += piece
        return data


@asynccontextmanager
async def connected(*, buffer: int = 4096, max_length: int = 10_000) -> AsyncIterator[Pair]:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        notes = Notes()
        _, connection = await loop.create_connection(
            lambda: PeerConnection(
                ReceiveBlocks(read_size=buffer), Turn(), TimeShares(), max_length=max_length
            ),
            *server.getsockname(),
        )
        connection.receiver = notes
        peer, _ = await loop.sock_accept(server)
        peer.setblocking(False)
        with peer:
            yield Pair(connection, notes, peer)
            connection.abort()
            await asyncio.sleep(0)
            await asyncio.sleep(0)


async def test_pdus_split_anywhere_and_longer_than_the_buffer_come_out_whole() -> None:
    async with connected(buffer=64) as pair:
        pdus = [pdu(4, bytes(range(size % 256)) * (size // 256 + 1)) for size in (1, 57, 58, 59, 700, 3000)]
        wire = b"".join(pdus)
        for start in range(0, 400, 7):
            await pair.send(wire[start : start + 7])
        await pair.send(wire[406:])
        await pair.notes.until(lambda: len(pair.notes.pdus) == len(pdus))
        assert [pdu(kind, body) for kind, body in pair.notes.pdus] == pdus
        assert pair.connection.bytes_received == len(wire)


async def test_nothing_is_read_while_reading_is_paused() -> None:
    async with connected(buffer=100) as pair:
        pair.notes.on_pdus = pair.connection.pause_reading
        await pair.send(RELEASE_RQ_PDU * 25)
        await pair.notes.until(lambda: len(pair.notes.pdus) == 10)
        assert not pair.connection.reading
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(pair.notes.pdus) == 10
        pair.connection.resume_reading()
        await pair.notes.until(lambda: len(pair.notes.pdus) == 20)
        pair.connection.resume_reading()
        await pair.notes.until(lambda: len(pair.notes.pdus) == 25)


async def test_what_is_beyond_the_high_water_mark_makes_it_unwritable_until_the_peer_reads() -> None:
    async with connected() as pair:
        written = 0
        while pair.connection.writable:
            pair.connection.write(bytes(100_000))
            written += 100_000
        assert written > WRITE_HIGH_WATER
        received = 0
        while received < written:
            received += len(await pair.read())
        await pair.notes.until(lambda: pair.notes.writable == 1)
        assert pair.connection.writable


async def test_what_a_read_causes_leaves_in_one_piece_when_it_is_dealt_with() -> None:
    async with connected() as pair:

        def answer() -> None:
            pair.connection.write(b"one", memoryview(b"two"))
            with pytest.raises(BlockingIOError):
                pair.peer.recv(1)
            pair.connection.write(b"three")

        pair.notes.on_pdus = answer
        await pair.send(RELEASE_RQ_PDU)
        assert await pair.read() == b"onetwothree"


async def test_back_pressure_is_felt_within_a_read() -> None:
    async with connected() as pair:
        written = 0

        def fill() -> None:
            nonlocal written
            while pair.connection.writable:
                pair.connection.write(bytes(100_000))
                written += 100_000

        pair.notes.on_pdus = fill
        await pair.send(RELEASE_RQ_PDU)
        await pair.notes.until(lambda: written > WRITE_HIGH_WATER)
        received = 0
        while received < written:
            received += len(await pair.read())


async def test_close_within_a_read_sends_what_was_written_first() -> None:
    async with connected() as pair:

        def end() -> None:
            pair.connection.write(abort(2, 1))
            pair.connection.close(within=TIMEOUT)

        pair.notes.on_pdus = end
        await pair.send(RELEASE_RQ_PDU)
        assert await pair.read_all() == abort(2, 1)


async def test_close_sends_what_was_written_first() -> None:
    async with connected() as pair:
        pair.connection.write(bytes(300_000))
        pair.connection.close(within=TIMEOUT)
        assert len(await pair.read_all()) == 300_000
        await pair.notes.until(lambda: pair.notes.lost == 1)
        assert pair.connection.lost


async def test_close_does_not_wait_longer_than_told_for_a_peer_that_reads_nothing() -> None:
    async with connected() as pair:
        pair.connection.write(bytes(20_000_000))
        pair.connection.close(within=0.05)
        await pair.notes.until(lambda: pair.notes.lost == 1)


async def test_abort_resets_nothing_but_this_connection_and_is_told_once() -> None:
    async with connected() as pair, connected() as other:
        pair.connection.abort()
        pair.connection.abort()
        await pair.notes.until(lambda: pair.notes.lost == 1)
        pair.connection.write(b"x")
        pair.connection.close(within=1)
        pair.connection.pause_reading()
        pair.connection.resume_reading()
        assert pair.notes.lost == 1
        await other.send(RELEASE_RQ_PDU)
        await other.notes.until(lambda: len(other.notes.pdus) == 1)


async def test_a_peer_that_sends_no_more_may_still_read() -> None:
    async with connected() as pair:
        pair.notes.keeps_open = True
        await pair.send(RELEASE_RQ_PDU)
        pair.peer.shutdown(socket.SHUT_WR)
        await pair.notes.until(lambda: pair.notes.ended == 1)
        assert len(pair.notes.pdus) == 1
        pair.connection.write(bytes(300_000))
        assert pair.connection.end_output()
        pair.connection.write(b"x")
        assert len(await pair.read_all()) == 300_000
        assert pair.notes.lost == 0
        pair.connection.close(within=TIMEOUT)
        await pair.notes.until(lambda: pair.notes.lost == 1)
        assert pair.notes.ended == 1


async def test_a_peer_that_is_told_that_nothing_more_comes_may_still_send() -> None:
    async with connected() as pair:
        assert pair.connection.end_output()
        assert await pair.read() == b""
        await pair.send(RELEASE_RQ_PDU)
        await pair.notes.until(lambda: len(pair.notes.pdus) == 1)
        assert pair.notes.lost == 0


@pytest.mark.parametrize("reset", [False, True])
async def test_the_receiver_learns_of_the_peers_end_after_its_last_pdu(reset: bool) -> None:
    async with connected() as pair:
        await pair.send(RELEASE_RQ_PDU)
        await pair.notes.until(lambda: len(pair.notes.pdus) == 1)
        if reset:
            pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        pair.peer.close()
        await pair.notes.until(lambda: pair.notes.lost == 1)


async def test_a_receiver_that_hands_over_within_a_read_gets_all_of_that_read() -> None:
    async with connected(buffer=100) as pair:
        second = Notes()

        def hand_over() -> None:
            pair.connection.receiver = second

        pair.notes.on_pdus = hand_over
        await pair.send(RELEASE_RQ_PDU * 13)
        await second.until(lambda: len(second.pdus) == 3)
        assert len(pair.notes.pdus) == 10


async def test_a_pdu_begun_before_the_handover_goes_to_the_next_receiver() -> None:
    async with connected() as pair:
        second = Notes()

        def hand_over() -> None:
            pair.connection.receiver = second
            pair.connection.max_length = 3

        pair.notes.on_pdus = hand_over
        await pair.send(RELEASE_RQ_PDU + b"\x04\0\0\0")
        await pair.notes.until(lambda: len(pair.notes.pdus) == 1)
        assert pair.connection.in_mid_pdu
        await pair.send(b"\0\x03abc\x04\0\0\0\0\x04")
        await second.until(lambda: bool(second.errors))
        assert second.pdus == [(4, b"abc")]
        assert isinstance(second.errors[0], PduTooLong)


async def test_an_oversized_pdu_is_an_error_at_its_header_and_what_came_before_counts() -> None:
    async with connected() as pair:
        await pair.send(RELEASE_RQ_PDU + b"\x04\0\x7f\xff\xff\xff")
        await pair.notes.until(lambda: bool(pair.notes.errors))
        assert isinstance(pair.notes.errors[0], PduTooLong)
        assert pair.notes.pdus == [(5, bytes(4))]


async def test_what_is_no_pdu_is_an_error() -> None:
    async with connected() as pair:
        await pair.send(b"GET / HTTP/1.1\r\n\r\n")
        await pair.notes.until(lambda: bool(pair.notes.errors))
        assert isinstance(pair.notes.errors[0], UnrecognizedPdu)


async def test_small_writes_are_not_held_back() -> None:
    async with connected() as pair:
        transport = pair.connection._transport
        assert transport is not None
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert pair.connection.peer_host == "127.0.0.1"


async def test_the_duplicated_descriptor_is_closed_with_the_connection() -> None:
    async with connected() as pair:
        duplicate = pair.connection._quickack
        pair.connection.abort()
        await pair.notes.until(lambda: pair.notes.lost == 1)
        assert duplicate is None or duplicate.fileno() == -1


async def test_what_does_not_fit_into_a_turn_waits_for_the_next_one_and_keeps_its_order() -> None:
    async with connected(buffer=2048) as pair:
        notes, others = pair.notes, 0

        def other() -> None:
            nonlocal others
            others += 1
            asyncio.get_running_loop().call_soon(other)

        notes.most = 3
        sent = [pdu(4, bytes([number])) for number in range(200)]
        other()
        await pair.send(b"".join(sent))
        await notes.until(lambda: len(notes.pdus) == 200)
        assert [pdu(kind, body) for kind, body in notes.pdus] == sent
        assert notes.turns >= 67
        assert others >= 66, "others had their turns in between"


async def test_what_waits_for_its_turn_waits_on_while_reading_is_paused() -> None:
    async with connected() as pair:
        notes = pair.notes
        notes.most, notes.on_pdus = 4, pair.connection.pause_reading
        await pair.send(RELEASE_RQ_PDU * 25)
        for handled in (4, 8, 12, 16, 20, 24, 25):
            await notes.until(lambda handled=handled: len(notes.pdus) == handled)  # type: ignore[misc]
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(notes.pdus) == handled
            pair.connection.resume_reading()
        await pair.send(RELEASE_RQ_PDU)
        await notes.until(lambda: len(notes.pdus) == 26)


async def test_what_is_no_pdu_is_told_behind_what_waits_for_its_turn() -> None:
    async with connected() as pair:
        pair.notes.most = 2
        await pair.send(RELEASE_RQ_PDU * 9 + b"GET / HTTP/1.1\r\n")
        await pair.notes.until(lambda: bool(pair.notes.errors))
        assert len(pair.notes.pdus) == 9
        assert len(pair.notes.errors) == 1


async def test_a_peer_whose_bytes_take_long_is_read_in_smaller_pieces_and_then_again_in_larger_ones() -> None:
    buffer = 4 * LEAST_READ
    async with connected(buffer=buffer) as pair:

        def lent() -> int:
            return len(pair.connection.get_buffer(0))

        async def send(count: int) -> None:
            before = len(pair.notes.pdus)
            await pair.send(RELEASE_RQ_PDU * count)
            await pair.notes.until(lambda: len(pair.notes.pdus) == before + count)

        pair.notes.most = 1
        for _ in range(12):
            await send(2)
        assert lent() == LEAST_READ
        pair.connection.resume_reading(100)
        assert lent() == 100, "the owner's limit holds, too"
        pair.connection.resume_reading(buffer)
        pair.notes.most = 10
        for _ in range(12):
            await send(2)
        assert lent() == buffer


async def test_a_read_that_completes_no_pdu_takes_a_turn_too(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[object] = []

    def end(_: TimeShares, connection: object, *__: object, **___: object) -> float:
        turns.append(connection)
        return 0.0

    monkeypatch.setattr(TimeShares, "end", end)
    async with connected() as pair:
        meter = pair.connection.meter = Counted()
        for byte in RELEASE_RQ_PDU:
            await pair.send(bytes((byte,)))
            async with asyncio.timeout(TIMEOUT):
                assert await meter.received.get() == 1
        assert turns == [pair.connection] * len(RELEASE_RQ_PDU)


async def test_what_nobody_wants_any_more_is_read_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "DISCARDED_FREELY", 0)
    async with connected(buffer=512 * 1024, max_length=8 << 20) as pair:
        pair.connection.discard()
        begun = asyncio.get_running_loop().time()
        await pair.send(pdu(4, bytes(40 * DISCARDED_AT_ONCE - 6)))
        await pair.notes.until(lambda: len(pair.notes.pdus) == 1)
        assert asyncio.get_running_loop().time() - begun > 39 * DISCARDING_PAUSE
