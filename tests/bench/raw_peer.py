"""A raw C-ECHO, C-FIND and C-STORE target for the bench, as its own process: sockets and ready-made bytes.

    python -m tests.bench.raw_peer PORT

C-FIND is answered by as many pending responses as the identifier has bytes, and the final one. What C-STORE brings is
thrown away.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from typing import cast

import uvloop

from tests.support.files import implicit_element
from tests.support.wire import (
    CT_STORAGE,
    IMPLICIT_LE,
    RELEASE_RP_PDU,
    STUDY_ROOT_FIND,
    VERIFICATION,
    Command,
    Context,
    Message,
    Pdu,
    PduType,
    Status,
    Tag,
    associate_ac,
    p_data,
    parse_associate,
    parse_command,
    request,
    response,
)

FIND, STORE = 3, 5
"""Presentation context ids."""
CONTEXTS = (
    Context(1, VERIFICATION, (IMPLICIT_LE,)),
    Context(FIND, STUDY_ROOT_FIND, (IMPLICIT_LE,)),
    Context(STORE, CT_STORAGE, (IMPLICIT_LE,)),
)


def identifier(number: int) -> bytes:
    """Return a study as a C-FIND response has it, about 240 bytes."""
    return b"".join(
        (
            implicit_element(0x00080005, "ISO_IR 100"),
            implicit_element(0x00080020, "20240229"),
            implicit_element(0x00080030, "101112"),
            implicit_element(0x00080050, f"ACC{number:09}"),
            implicit_element(0x00080052, "STUDY"),
            implicit_element(0x00081030, "CT THORAX WITHOUT CONTRAST"),
            implicit_element(0x00100010, f"BENCH^{number:06}"),
            implicit_element(0x00100020, f"ID{number:08}"),
            implicit_element(0x0020000D, f"1.2.826.0.1.3680043.9.9999.5.{number:08}"),
            implicit_element(0x00200010, f"{number:08}"),
        )
    )


class RawTarget(asyncio.Protocol):
    """One association."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.parts = bytearray()
        self.asked = b""
        """The command whose data set is coming."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) >= 6:
            kind, _, length = struct.unpack_from(">BBI", self.buffer)
            if len(self.buffer) < 6 + length:
                return
            body = bytes(self.buffer[6 : 6 + length])
            del self.buffer[: 6 + length]
            self.pdu_received(kind, body)

    def pdu_received(self, kind: int, body: bytes) -> None:
        """Answer one PDU."""
        if kind == PduType.P_DATA_TF:
            offset = 0
            while offset < len(body):
                length, context_id, flags = struct.unpack_from(">IBB", body, offset)
                self.fragment_received(context_id, flags, body[offset + 6 : offset + 4 + length])
                offset += 4 + length
        elif kind == PduType.ASSOCIATE_RQ:
            self.transport.write(associate_ac(parse_associate(Pdu(kind, body)), max_length=131072))
        elif kind == PduType.RELEASE_RQ:
            self.transport.write(RELEASE_RP_PDU)
        else:
            self.transport.close()

    def fragment_received(self, context_id: int, flags: int, fragment: bytes) -> None:
        """Answer a C-ECHO command, or another one once its data set is here."""
        if flags & 1 or context_id != STORE:
            self.parts += fragment
        if not flags & 2:
            return
        whole = bytes(self.parts)
        self.parts.clear()
        if flags & 1:
            field = parse_command(whole)[Tag.COMMAND_FIELD]
            if field == b"\x30\0":
                self.transport.write(p_data(response(Message(context_id, whole))))
            else:
                self.asked = whole
        elif context_id == STORE:
            self.transport.write(p_data(response(Message(context_id, self.asked))))
        else:
            self.transport.write(pending_responses(Message(context_id, self.asked), len(whole)))


_cache: dict[tuple[bytes, int], bytes] = {}


def pending_responses(asked: Message, count: int) -> bytes:
    """Return the PDUs of `count` pending responses and the final one; made once, then kept."""
    key = asked.command, count
    if key not in _cache:
        _cache[key] = b"".join(
            p_data(response(asked, Status.PENDING, data=identifier(number))) for number in range(count)
        ) + p_data(response(asked, 0))
    return _cache[key]


def echo_request(message_id: int) -> bytes:
    """Return the PDU of a C-ECHO-RQ."""
    return p_data(request(Command.C_ECHO, message_id, VERIFICATION))


def find_request(message_id: int, count: int) -> bytes:
    """Return the PDUs of a C-FIND-RQ that asks for `count` responses."""
    more: dict[int, int | str | bytes] = {Tag.PRIORITY: 0}
    asked = request(
        Command.C_FIND, message_id, STUDY_ROOT_FIND, data=bytes(count), context_id=FIND, more=more
    )
    return p_data(asked, max_pdu=65536)


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(RawTarget, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
