"""A raw C-ECHO, C-FIND, C-GET and C-STORE target for the bench, as its own process: sockets and ready-made bytes.

    python -m tests.bench.raw_peer PORT

C-FIND is answered by as many pending responses as the identifier has bytes, and the final one. C-GET is answered by as
many objects of such a size as its identifier says (`get_request`), one after the other. What C-STORE brings is thrown
away.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
import sys
from collections.abc import Iterator
from typing import cast

import uvloop

from tests.support.files import implicit_element
from tests.support.wire import (
    CT_STORAGE,
    IMPLICIT_LE,
    RELEASE_RP_PDU,
    RESPONSE,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    VERIFICATION,
    Command,
    Context,
    Message,
    Pdu,
    PduType,
    Status,
    Tag,
    associate_ac,
    item,
    p_data,
    p_data_in_pieces,
    parse_associate,
    parse_command,
    request,
    response,
    role_selection,
    store_rq,
)

FIND, STORE, GET = 3, 5, 7
"""Presentation context ids."""
ROLE_SELECTION = 0x54
"""Type of the sub-item (PS3.7 §D.3.3.4)."""
CONTEXTS = (
    Context(1, VERIFICATION, (IMPLICIT_LE,)),
    Context(FIND, STUDY_ROOT_FIND, (IMPLICIT_LE,)),
    Context(STORE, CT_STORAGE, (IMPLICIT_LE,)),
)
GET_CONTEXTS = (*CONTEXTS, Context(GET, STUDY_ROOT_GET, (IMPLICIT_LE,)))
GET_ROLE = role_selection(CT_STORAGE, scu=0, scp=1)
"""What a client that gets proposes: it is the one that stores."""
_IDENTIFIER = struct.Struct("<II")
"""Of a C-GET: objects, and bytes of each."""


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
        self.max_length = 0
        """Of a PDU that the client takes."""
        self.objects: Iterator[Iterator[bytes]] = iter(())
        """What a C-GET still has to bring: the PDUs of each object, then those of the final response."""
        self.leaving: Iterator[bytes] = iter(())
        """PDUs that leave as the socket takes them."""
        self.may_write = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def pause_writing(self) -> None:
        self.may_write = False

    def resume_writing(self) -> None:
        self.may_write = True
        self.write_on()

    def write_on(self) -> None:
        """Write what is leaving, as far as the socket takes it."""
        while self.may_write:
            data = next(self.leaving, None)
            if data is None:
                return
            self.transport.write(data)

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
            asked = parse_associate(Pdu(kind, body))
            self.max_length = asked.max_length
            roles = [item(kind, value) for kind, value in asked.user_items if kind == ROLE_SELECTION]
            self.transport.write(associate_ac(asked, max_length=131072, extra=b"".join(roles)))
        elif kind == PduType.RELEASE_RQ:
            self.transport.write(RELEASE_RP_PDU)
        else:
            self.transport.close()

    def fragment_received(self, context_id: int, flags: int, fragment: bytes) -> None:
        """Answer a C-ECHO command, or another request once its data set is here; go on after a C-STORE-RSP."""
        if flags & 1 or context_id != STORE:
            self.parts += fragment
        if not flags & 2:
            return
        whole = bytes(self.parts)
        self.parts.clear()
        if flags & 1:
            field = int.from_bytes(parse_command(whole)[Tag.COMMAND_FIELD], "little")
            if field == Command.C_ECHO:
                self.transport.write(p_data(response(Message(context_id, whole))))
            elif field == Command.C_STORE | RESPONSE:
                self.next_object()
            else:
                self.asked = whole
        elif context_id == STORE:
            self.transport.write(p_data(response(Message(context_id, self.asked))))
        elif context_id == GET:
            self.objects = gotten(Message(context_id, self.asked), whole, self.max_length)
            self.next_object()
        else:
            self.transport.write(pending_responses(Message(context_id, self.asked), len(whole)))

    def next_object(self) -> None:
        """Begin to send the next object that was asked for, or the final response."""
        self.leaving = next(self.objects)
        self.write_on()


def gotten(asked: Message, wanted: bytes, max_length: int) -> Iterator[Iterator[bytes]]:
    """Yield the PDUs of each C-STORE sub-operation of a C-GET, and last those of its final response.

    Args:
        wanted: the identifier of the C-GET.
    """
    objects, size = _IDENTIFIER.unpack(wanted)
    for number in range(1, objects + 1):
        yield blank_object(number, size, max_length)
    yield iter([p_data(response(asked, more={Tag.COMPLETED: objects}))])


def blank_object(message_id: int, size: int, max_length: int) -> Iterator[bytes]:
    """Yield the PDUs of a C-STORE-RQ with a data set of `size` zeros, each as long as the receiver takes."""
    piece = bytes(max_length - 6)
    whole, rest = divmod(size, len(piece))
    pieces = itertools.chain(itertools.repeat(piece, whole), [piece[:rest]])
    return p_data_in_pieces(store_rq(message_id, "1.2.3", b"", context_id=STORE), pieces)


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


def get_request(message_id: int, *, objects: int, size: int) -> bytes:
    """Return the PDUs of a C-GET-RQ that asks for so many objects of `size` bytes."""
    more: dict[int, int | str | bytes] = {Tag.PRIORITY: 0}
    identifier = _IDENTIFIER.pack(objects, size)
    return p_data(
        request(Command.C_GET, message_id, STUDY_ROOT_GET, data=identifier, context_id=GET, more=more)
    )


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(RawTarget, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
