"""The comparison sees what a relay in between changes, and nothing where it changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.interop.differential.play import Difference, Lane, compare_all
from tests.interop.differential.transcript import Kind
from tests.support.mesh import Ae
from tests.support.ports import reserve_port
from tests.support.wire import PduType, abort, pdu

Tamper = Callable[[int, bytes], bytes | None]
"""Told type and body of each PDU; returns what to send in its place, or None to close the connection."""
TARGET = "TAMPERED"


def nothing(kind: int, body: bytes) -> bytes:
    return pdu(kind, body)


def flip_the_last_bit(kind: int, body: bytes) -> bytes:
    if kind == PduType.P_DATA_TF and len(body) > 1000:
        body = body[:-1] + bytes((body[-1] ^ 1,))
    return pdu(kind, body)


def lose_long_pdus(kind: int, body: bytes) -> bytes:
    return b"" if kind == PduType.P_DATA_TF and len(body) > 1000 else pdu(kind, body)


def repeat_short_pdus(kind: int, body: bytes) -> bytes:
    return pdu(kind, body) * (2 if kind == PduType.P_DATA_TF and len(body) < 150 else 1)


def close_for_abort(kind: int, body: bytes) -> bytes | None:
    return None if kind == PduType.ABORT else pdu(kind, body)


def abort_for_release(kind: int, body: bytes) -> bytes:
    return abort(2, 0) if kind == PduType.RELEASE_RP else pdu(kind, body)


def make_rejects_transient(kind: int, body: bytes) -> bytes:
    return pdu(kind, b"\0\2" + body[2:]) if kind == PduType.ASSOCIATE_RJ else pdu(kind, body)


def refuse_the_first_context(kind: int, body: bytes) -> bytes:
    if kind == PduType.ASSOCIATE_AC:
        at = body.index(b"\x21\0", 68)
        body = body[: at + 6] + b"\4" + body[at + 7 :]
    return pdu(kind, body)


def drop_the_last_user_item(kind: int, body: bytes) -> bytes:
    marker = b"\x55\0\0\x0bSCRIPTED_RQ"
    if kind == PduType.ASSOCIATE_RQ and marker in body and not body.endswith(marker):
        at = body.index(marker) + len(marker)
        start = body.rindex(b"\x50\0", 0, at)
        body = body[:start] + b"\x50\0" + (at - start - 4).to_bytes(2, "big") + body[start + 4 : at]
    return pdu(kind, body)


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tamper: Tamper) -> None:
    try:
        while True:
            head = await reader.readexactly(6)
            body = await reader.readexactly(int.from_bytes(head[2:], "big"))
            said = tamper(head[0], body)
            if said is None:
                writer.close()
                return
            writer.write(said)
            await writer.drain()
    except asyncio.IncompleteReadError:
        if not writer.is_closing():
            writer.write_eof()
    except ConnectionError:
        writer.close()


async def _copy_both(one: Stream, other: Stream, tamper: Tamper) -> None:
    try:
        await asyncio.gather(_copy(one[0], other[1], tamper), _copy(other[0], one[1], tamper))
    finally:
        one[1].close()
        other[1].close()


async def _compare(tamper: Tamper, count: int, *, deadline: float = 3) -> list[Difference]:
    ae = Ae(TARGET, reserve_port(), "nowhere")
    tasks: set[asyncio.Task[None]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far = await asyncio.open_connection("127.0.0.1", ae.port)
        task = asyncio.create_task(_copy_both((reader, writer), far, tamper))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    async with server:
        port: int = server.sockets[0].getsockname()[1]
        found = await compare_all([Lane(ae, port, deadline=deadline)], range(count), enough=1)
        await asyncio.gather(*tasks)
    return found


def test_a_faithful_relay_makes_no_difference() -> None:
    assert asyncio.run(_compare(nothing, 150, deadline=30)) == []


@pytest.mark.parametrize(
    "tamper",
    [
        flip_the_last_bit,
        lose_long_pdus,
        repeat_short_pdus,
        close_for_abort,
        abort_for_release,
        make_rejects_transient,
        refuse_the_first_context,
        drop_the_last_user_item,
    ],
)
def test_what_a_relay_changes_is_seen(tamper: Tamper) -> None:
    (difference,) = asyncio.run(_compare(tamper, 150))
    text = str(difference)
    assert text.startswith(f"seed {difference.conversation.seed}:")
    assert "!" in text


def test_both_transcripts_are_printed() -> None:
    (difference,) = asyncio.run(_compare(close_for_abort, 150))
    assert any(item.kind is Kind.ABORT for items in difference.direct.values() for item in items)
    lines = str(difference).splitlines()
    assert any("direct" in line and "A-ABORT" in line for line in lines)
    assert any("mesh" in line and "the connection closed" in line for line in lines)
