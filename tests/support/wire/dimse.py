"""DIMSE messages: command sets and their fragments (PS3.7 §6.3, annex E; PS3.8 annex E)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from tests.support.wire.pdu import PduType, pdu
from tests.support.wire.uids import CT_STORAGE

NO_DATA_SET = 0x0101
RESPONSE = 0x8000


class Tag(IntEnum):
    """Command elements, PS3.7 annex E. Only the low 16 bits: the group is always 0000."""

    GROUP_LENGTH = 0x0000
    AFFECTED_SOP_CLASS = 0x0002
    REQUESTED_SOP_CLASS = 0x0003
    COMMAND_FIELD = 0x0100
    MESSAGE_ID = 0x0110
    RESPONDED_MESSAGE_ID = 0x0120
    MOVE_DESTINATION = 0x0600
    PRIORITY = 0x0700
    DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    ERROR_COMMENT = 0x0902
    AFFECTED_SOP_INSTANCE = 0x1000
    REQUESTED_SOP_INSTANCE = 0x1001
    EVENT_TYPE = 0x1002
    ACTION_TYPE = 0x1008
    REMAINING = 0x1020
    COMPLETED = 0x1021
    FAILED = 0x1022
    WARNINGS = 0x1023
    MOVE_ORIGINATOR = 0x1030
    MOVE_ORIGINATOR_ID = 0x1031


class Command(IntEnum):
    """Command field values of requests; a response has 8000H added (PS3.7 annex E)."""

    C_STORE = 0x0001
    C_GET = 0x0010
    C_FIND = 0x0020
    C_MOVE = 0x0021
    C_ECHO = 0x0030
    N_EVENT_REPORT = 0x0100
    N_GET = 0x0110
    N_SET = 0x0120
    N_ACTION = 0x0130
    N_CREATE = 0x0140
    N_DELETE = 0x0150
    C_CANCEL = 0x0FFF


@dataclass(frozen=True, slots=True)
class Message:
    """One DIMSE message: the command set and, if it says that one follows, the data set."""

    context_id: int
    command: bytes
    data: bytes | None = None

    @property
    def elements(self) -> dict[int, bytes]:
        """The command elements by the low half of their tag."""
        return parse_command(self.command)

    def number(self, tag: int) -> int:
        """Return the unsigned 16-bit value of a command element."""
        return int.from_bytes(self.elements[tag], "little")

    def text(self, tag: int) -> str:
        """Return the value of a command element without its padding."""
        return self.elements[tag].decode("ascii").rstrip("\0 ")

    @property
    def field(self) -> int:
        """The command field."""
        return self.number(Tag.COMMAND_FIELD)

    @property
    def status(self) -> int:
        """The status of a response."""
        return self.number(Tag.STATUS)


def command(elements: Mapping[int, int | str | bytes]) -> bytes:
    """Return a command set (implicit VR little endian) with its group length.

    An int becomes an unsigned short; text is padded to even length (a UID with NUL, anything else with a
    space); bytes are taken as they are.
    """
    body = bytearray()
    for tag in sorted(elements):
        value = elements[tag]
        if isinstance(value, int):
            raw = struct.pack("<H", value)
        elif isinstance(value, str):
            raw = value.encode("ascii")
            if len(raw) % 2:
                raw += b"\0" if set(value) <= set("0123456789.") else b" "
        else:
            raw = value
        body += struct.pack("<HHI", 0, tag, len(raw)) + raw
    return struct.pack("<HHII", 0, 0, 4, len(body)) + bytes(body)


def parse_command(data: bytes) -> dict[int, bytes]:
    """Return the elements of group 0000 by the low half of their tag, group length left out.

    What is cut off at the end is ignored.
    """
    elements: dict[int, bytes] = {}
    offset = 0
    while offset + 8 <= len(data):
        group, tag, length = struct.unpack_from("<HHI", data, offset)
        if group == 0:
            elements[tag] = data[offset + 8 : offset + 8 + length]
        offset += 8 + length
    elements.pop(Tag.GROUP_LENGTH, None)
    return elements


def request(
    kind: int,
    message_id: int,
    sop_class: str,
    *,
    data: bytes | None = None,
    context_id: int = 1,
    more: Mapping[int, int | str | bytes] | None = None,
) -> Message:
    """Return a request message; `more` adds or overrides command elements."""
    named = kind in (Command.N_GET, Command.N_SET, Command.N_ACTION, Command.N_DELETE)
    elements: dict[int, int | str | bytes] = {
        Tag.REQUESTED_SOP_CLASS if named else Tag.AFFECTED_SOP_CLASS: sop_class,
        Tag.COMMAND_FIELD: kind,
        Tag.MESSAGE_ID: message_id,
        Tag.DATA_SET_TYPE: NO_DATA_SET if data is None else 1,
        **(more or {}),
    }
    return Message(context_id, command(elements), data)


def store_rq(
    message_id: int, instance: str, data: bytes, *, sop_class: str = CT_STORAGE, context_id: int = 1
) -> Message:
    """Return a C-STORE-RQ."""
    more: dict[int, int | str | bytes] = {Tag.PRIORITY: 0, Tag.AFFECTED_SOP_INSTANCE: instance}
    return request(Command.C_STORE, message_id, sop_class, data=data, context_id=context_id, more=more)


def cancel_rq(message_id: int, *, context_id: int = 1) -> Message:
    """Return a C-CANCEL-RQ for the operation with `message_id`."""
    elements: dict[int, int | str | bytes] = {
        Tag.COMMAND_FIELD: Command.C_CANCEL,
        Tag.RESPONDED_MESSAGE_ID: message_id,
        Tag.DATA_SET_TYPE: NO_DATA_SET,
    }
    return Message(context_id, command(elements))


def response(
    to: Message,
    status: int = 0,
    *,
    data: bytes | None = None,
    more: Mapping[int, int | str | bytes] | None = None,
) -> Message:
    """Return the response to a request, on its context; `more` adds or overrides command elements."""
    asked = to.elements
    elements: dict[int, int | str | bytes] = {
        Tag.COMMAND_FIELD: to.field | RESPONSE,
        Tag.RESPONDED_MESSAGE_ID: asked[Tag.MESSAGE_ID],
        Tag.DATA_SET_TYPE: NO_DATA_SET if data is None else 1,
        Tag.STATUS: status,
    }
    for source, target in (
        (Tag.AFFECTED_SOP_CLASS, Tag.AFFECTED_SOP_CLASS),
        (Tag.REQUESTED_SOP_CLASS, Tag.AFFECTED_SOP_CLASS),
        (Tag.AFFECTED_SOP_INSTANCE, Tag.AFFECTED_SOP_INSTANCE),
        (Tag.REQUESTED_SOP_INSTANCE, Tag.AFFECTED_SOP_INSTANCE),
    ):
        if source in asked:
            elements[target] = asked[source]
    return Message(to.context_id, command({**elements, **(more or {})}), data)


def pdv(context_id: int, *, is_command: bool, is_last: bool, fragment: bytes | memoryview) -> bytes:
    """Return a presentation data value item (PS3.8 §9.3.5.1)."""
    flags = (1 if is_command else 0) | (2 if is_last else 0)
    return struct.pack(">IBB", len(fragment) + 2, context_id, flags) + bytes(fragment)


def fragments(message: Message, sizes: Sequence[int]) -> Iterator[bytes]:
    """Yield the PDVs of `message`; fragment lengths are taken from `sizes`, repeated from its start."""
    index = 0
    parts: list[tuple[bool, bytes]] = [(True, message.command)]
    if message.data is not None:
        parts.append((False, message.data))
    for is_command, payload in parts:
        view = memoryview(payload)
        offset = 0
        while True:
            piece = view[offset : offset + sizes[index % len(sizes)]]
            index += 1
            offset += len(piece)
            last = offset == len(view)
            yield pdv(message.context_id, is_command=is_command, is_last=last, fragment=piece)
            if last:
                break


def p_data_in_pieces(message: Message, pieces: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Yield the P-DATA-TF PDUs of a message whose data set comes in pieces, one PDV each, so that nobody holds it."""
    context_id = message.context_id
    last = pdv(context_id, is_command=True, is_last=True, fragment=message.command)
    held: bytes | memoryview | None = None
    yield pdu(PduType.P_DATA_TF, last)
    for piece in pieces:
        if held is not None:
            yield pdu(PduType.P_DATA_TF, pdv(context_id, is_command=False, is_last=False, fragment=held))
        held = piece
    if held is not None:
        yield pdu(PduType.P_DATA_TF, pdv(context_id, is_command=False, is_last=True, fragment=held))


def p_data(message: Message, *, max_pdu: int = 16384, sizes: Sequence[int] | None = None) -> bytes:
    """Return the P-DATA-TF PDUs of `message`, one PDV in each, at most `max_pdu` bytes long after the header.

    `sizes`, when given, are the lengths of the fragments instead.
    """
    limit = (max_pdu or 65536) - 6
    return b"".join(pdu(PduType.P_DATA_TF, value) for value in fragments(message, sizes or [limit]))
