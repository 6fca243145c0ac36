"""Clients and targets that do anything: well-formed conversations, damaged at any place, cut off, reset."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence

from tests.fuzz.mutation import mutated
from tests.support.wire import (
    CT_STORAGE,
    RELEASE_RP_PDU,
    RELEASE_RQ_PDU,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    VERIFICATION,
    Command,
    Context,
    Message,
    Pdu,
    PduType,
    abort,
    associate_ac,
    associate_rj,
    associate_rq,
    cancel_rq,
    p_data,
    parse_associate,
    pdu,
    request,
    response,
    role_selection,
    store_rq,
)

CONTEXTS = (
    Context(1, VERIFICATION),
    Context(3, CT_STORAGE),
    Context(5, STUDY_ROOT_FIND),
    Context(7, STUDY_ROOT_GET),
)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What a target does with a connection."""
PATIENCE = 0.3
"""Seconds that a client waits for an answer before it goes on."""
TITLES = ("SINK", "EVIL", "NOBODY", "sink", "SI\x00NK", "*", ".", "")
CLIENT_HELLO = bytes.fromhex("16030100a5010000a10303") + bytes(160)


def opening(rng: random.Random, called: str) -> bytes:
    """Return an A-ASSOCIATE-RQ."""
    contexts = rng.sample(CONTEXTS, rng.randrange(1, len(CONTEXTS) + 1))
    extra = role_selection(CT_STORAGE, scu=True, scp=True) if rng.random() < 0.3 else b""
    length = rng.choice((0, 1, 128, 16384, 0xFFFF_FFFF))
    return associate_rq(
        called=called.encode("latin-1").ljust(16)[:16],
        calling=f"HOSTILE{rng.randrange(100)}",
        contexts=contexts,
        max_length=length,
        extra=extra,
    )


def messages(rng: random.Random) -> list[bytes]:
    """Return P-DATA-TF PDUs of some messages."""
    data = rng.randbytes(rng.choice((0, 2, 500, 40_000)))
    made: list[Callable[[int], Message]] = [
        lambda number: request(Command.C_ECHO, number, VERIFICATION),
        lambda number: store_rq(number, "1.2.3", data, context_id=3),
        lambda number: request(Command.C_FIND, number, STUDY_ROOT_FIND, data=data[:300], context_id=5),
        lambda number: request(Command.C_GET, number, STUDY_ROOT_GET, data=data[:300], context_id=7),
        cancel_rq,
        lambda number: response(request(Command.C_ECHO, number, VERIFICATION)),
        lambda number: request(0x0100, number, "1.2.840.10008.5.1.4.34.6.1", data=data[:50]),
        lambda number: request(rng.randrange(0x10000), number, VERIFICATION, context_id=rng.randrange(256)),
    ]
    size = rng.choice((16, 100, 16384))
    return [
        p_data(rng.choice(made)(rng.randrange(5)), max_pdu=max(size, 16)) for _ in range(rng.randrange(1, 6))
    ]


def conversation(rng: random.Random) -> list[bytes]:
    """Return what a client writes, piece by piece; it may read between the pieces."""
    kind = rng.randrange(12)
    first = opening(rng, rng.choice(TITLES))
    if kind == 0:
        return [rng.randbytes(rng.randrange(1, 300))]
    if kind == 1:
        return [rng.choice((CLIENT_HELLO, b"GET / HTTP/1.1\r\n\r\n", b"\x01\0\xff\xff\xff\xff", first[:-1]))]
    if kind <= 3:
        return [mutated([first], rng)]
    rest = messages(rng)
    if kind <= 6:
        return [first, *(mutated(rest, rng) for _ in rest)]
    if kind == 7:
        return [first, first, *rest]
    if kind == 8:
        broken = b"".join(rest)
        return [first, broken[: rng.randrange(len(broken))]]
    ends = [RELEASE_RQ_PDU, RELEASE_RP_PDU, abort(), abort(2, 6), b"", pdu(4, b""), RELEASE_RQ_PDU * 3]
    return [first, *rest, rng.choice(ends), *rng.sample(rest, min(len(rest), rng.randrange(3)))]


async def hostile_client(port: int, address: str, rng: random.Random) -> None:
    """Hold one conversation with 127.0.0.1:`port`, and end the connection in one way or another."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    except OSError:
        return
    try:
        for number, piece in enumerate(conversation(rng)):
            writer.write(piece)
            if number == 0 or rng.random() < 0.3:
                await _read(reader, writer)
        with contextlib.suppress(OSError):
            match rng.randrange(4):
                case 0:
                    _reset(writer)
                case 1:
                    writer.write_eof()
                    await _read(reader, writer)
                case 2:
                    await _read(reader, writer)
                case _:
                    pass
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            await writer.drain()
            await reader.read(65536)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End the connection by a RST."""
    sock: socket.socket | None = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# --- targets


async def _next_pdu(reader: asyncio.StreamReader) -> Pdu:
    head = await reader.readexactly(6)
    return Pdu(head[0], await reader.readexactly(int.from_bytes(head[2:6], "big")))


async def polite_target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept everything, answer every whole command with success, release."""
    asked = await _next_pdu(reader)
    writer.write(associate_ac(parse_associate(asked)))
    while True:
        got = await _next_pdu(reader)
        if got.kind == PduType.RELEASE_RQ:
            writer.write(RELEASE_RP_PDU)
            return
        if got.kind != PduType.P_DATA_TF:
            return
        with contextlib.suppress(KeyError, struct.error, IndexError):
            if got.body[5] & 1:
                writer.write(p_data(response(Message(got.body[4], got.body[6:]))))


def evil_target(rng: random.Random) -> Serve:
    """Return a target that answers associations, and requests, with anything."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await _next_pdu(reader)
        accept = associate_ac(parse_associate(asked))
        kind = rng.randrange(8)
        if kind == 0:
            return
        if kind <= 2:
            answers = [accept, associate_rj(2, 3, 1), abort(), rng.randbytes(50), RELEASE_RP_PDU]
            writer.write(mutated(answers, rng))
            return
        if kind == 3:
            writer.write(associate_rj(rng.randrange(4), rng.randrange(5), rng.randrange(9)))
            return
        writer.write(accept)
        for piece in messages(rng):
            writer.write(mutated([piece], rng) if kind > 5 else piece)
        got = await _next_pdu(reader)
        with contextlib.suppress(KeyError, struct.error, IndexError):
            answer = response(Message(got.body[4], got.body[6:]), rng.choice((0, 0xFF00, 0xA700, 0xFFFF)))
            for _ in range(rng.randrange(1, 4)):
                writer.write(mutated([p_data(answer)], rng) if rng.random() < 0.7 else p_data(answer))
        if rng.random() < 0.5:
            writer.write(rng.choice((RELEASE_RQ_PDU, RELEASE_RP_PDU, abort(), b"\x07")))

    return serve


async def listen(port: int, serve: Serve) -> asyncio.Server:
    """Serve as a target on 127.0.0.1 until the server is closed."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                await serve(reader, writer)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, struct.error, IndexError, KeyError):
            pass
        except (AssertionError, ValueError, RuntimeError):
            pass  # what it was sent is no PDU for it, or lacks what it looks for
        finally:
            writer.close()

    return await asyncio.start_server(connected, "127.0.0.1", port, backlog=1024)


def addresses(count: int) -> Sequence[str]:
    """Return addresses of this machine from which hostile clients come: honest ones use 127.0.0.1."""
    return [f"127.0.{1 + number // 250}.{2 + number % 250}" for number in range(count)]
