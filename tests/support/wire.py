"""The DICOM wire format in a few lines of struct code: the oracle of the tests.

Nothing here comes from the product or from pynetdicom. Values are given and returned as bytes of the wire, so
that a test can build what no library would send, and compare what arrived to the byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2.1"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
NO_DATA_SET = 0x0101


class PduType(IntEnum):
    """PS3.8 §9.3.1."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    P_DATA_TF = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


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


RESPONSE = 0x8000


@dataclass(frozen=True, slots=True)
class Pdu:
    """One PDU as received: its type and the bytes after the six-byte header."""

    kind: int
    body: bytes

    @property
    def whole(self) -> bytes:
        """The PDU with its header."""
        return pdu(self.kind, self.body)


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


@dataclass(frozen=True, slots=True)
class Context:
    """A proposed presentation context."""

    id: int
    abstract: str
    transfers: tuple[str, ...] = (EXPLICIT_LE,)


@dataclass(frozen=True, slots=True)
class ContextResult:
    """The answer to a proposed presentation context. `result` 0 is acceptance (PS3.8 table 9-18)."""

    id: int
    result: int = 0
    transfer: str = EXPLICIT_LE


@dataclass(frozen=True, slots=True)
class Associate:
    """The fields of an A-ASSOCIATE-RQ or -AC; titles and items as the bytes that came."""

    called: bytes
    calling: bytes
    contexts: tuple[Context, ...] = ()
    results: tuple[ContextResult, ...] = ()
    user_items: tuple[tuple[int, bytes], ...] = ()
    unknown_items: tuple[tuple[int, bytes], ...] = field(default=())

    @property
    def max_length(self) -> int:
        """The sender's maximum PDU length; 0 is unlimited."""
        return int.from_bytes(dict(self.user_items).get(0x51, b"\0\0\0\0"), "big")


def pdu(kind: int, body: bytes) -> bytes:
    """Return a PDU of this type around `body`."""
    return struct.pack(">BBI", kind, 0, len(body)) + body


def item(kind: int, body: bytes) -> bytes:
    """Return an item or sub-item of an A-ASSOCIATE PDU."""
    return struct.pack(">BBH", kind, 0, len(body)) + body


def title(ae_title: str | bytes) -> bytes:
    """Return the 16 bytes of an AE title field."""
    raw = ae_title if isinstance(ae_title, bytes) else ae_title.encode("ascii")
    return raw.ljust(16)[:16]


def _associate(kind: int, called: bytes, calling: bytes, items: bytes) -> bytes:
    head = struct.pack(">HH", 1, 0) + called + calling + bytes(32)
    return pdu(kind, head + item(0x10, APPLICATION_CONTEXT.encode()) + items)


def user_information(max_length: int, extra: bytes, version: str) -> bytes:
    """Return the user information item: maximum length, implementation, then `extra` as it is."""
    return item(
        0x50,
        item(0x51, struct.pack(">I", max_length))
        + item(0x52, b"1.2.826.0.1.3680043.9.9999.1")
        + item(0x55, version.encode())
        + extra,
    )


def associate_rq(
    *,
    called: str | bytes,
    calling: str | bytes = "SCRIPTED",
    contexts: Iterable[Context] = (Context(1, VERIFICATION, (IMPLICIT_LE,)),),
    max_length: int = 65536,
    extra: bytes = b"",
    version: str = "SCRIPTED_RQ",
) -> bytes:
    """Return an A-ASSOCIATE-RQ (PS3.8 §9.3.2); `extra` are more user information sub-items."""
    items = b"".join(
        item(
            0x20,
            struct.pack(">BBBB", context.id, 0, 0, 0)
            + item(0x30, context.abstract.encode())
            + b"".join(item(0x40, uid.encode()) for uid in context.transfers),
        )
        for context in contexts
    )
    items += user_information(max_length, extra, version)
    return _associate(PduType.ASSOCIATE_RQ, title(called), title(calling), items)


def associate_ac(
    request: Associate,
    results: Iterable[ContextResult] | None = None,
    *,
    max_length: int = 65536,
    extra: bytes = b"",
    version: str = "SCRIPTED_AC",
) -> bytes:
    """Return an A-ASSOCIATE-AC (PS3.8 §9.3.3); by default every context with its first transfer syntax."""
    if results is None:
        results = [ContextResult(context.id, 0, context.transfers[0]) for context in request.contexts]
    items = b"".join(
        item(
            0x21, struct.pack(">BBBB", answer.id, 0, answer.result, 0) + item(0x40, answer.transfer.encode())
        )
        for answer in results
    )
    items += user_information(max_length, extra, version)
    return _associate(PduType.ASSOCIATE_AC, request.called, request.calling, items)


def associate_rj(result: int, source: int, reason: int) -> bytes:
    """Return an A-ASSOCIATE-RJ (PS3.8 §9.3.4)."""
    return pdu(PduType.ASSOCIATE_RJ, bytes((0, result, source, reason)))


def abort(source: int = 0, reason: int = 0) -> bytes:
    """Return an A-ABORT (PS3.8 §9.3.8)."""
    return pdu(PduType.ABORT, bytes((0, 0, source, reason)))


RELEASE_RQ_PDU = pdu(PduType.RELEASE_RQ, bytes(4))
RELEASE_RP_PDU = pdu(PduType.RELEASE_RP, bytes(4))


def split_items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of each item in `data`."""
    offset = 0
    while offset < len(data):
        kind, _, length = struct.unpack_from(">BBH", data, offset)
        yield kind, data[offset + 4 : offset + 4 + length]
        offset += 4 + length


def parse_associate(received: Pdu) -> Associate:
    """Return the fields of an A-ASSOCIATE-RQ or -AC."""
    body = received.body
    contexts: list[Context] = []
    results: list[ContextResult] = []
    user_items: list[tuple[int, bytes]] = []
    unknown: list[tuple[int, bytes]] = []
    for kind, value in split_items(body[68:]):
        if kind == 0x20:
            inner = list(split_items(value[4:]))
            abstract = next(uid.decode() for sub, uid in inner if sub == 0x30)
            transfers = tuple(uid.decode() for sub, uid in inner if sub == 0x40)
            contexts.append(Context(value[0], abstract, transfers))
        elif kind == 0x21:
            transfer = next((uid.decode() for sub, uid in split_items(value[4:]) if sub == 0x40), "")
            results.append(ContextResult(value[0], value[2], transfer))
        elif kind == 0x50:
            user_items.extend(split_items(value))
        elif kind != 0x10:
            unknown.append((kind, value))
    return Associate(
        body[4:20], body[20:36], tuple(contexts), tuple(results), tuple(user_items), tuple(unknown)
    )


def role_selection(sop_class: str, *, scu: int, scp: int) -> bytes:
    """Return an SCP/SCU role selection sub-item (PS3.7 §D.3.3.4)."""
    uid = sop_class.encode()
    return item(0x54, struct.pack(">H", len(uid)) + uid + bytes((scu, scp)))


def asynchronous_window(invoked: int, performed: int) -> bytes:
    """Return an asynchronous operations window sub-item (PS3.7 §D.3.3.3)."""
    return item(0x53, struct.pack(">HH", invoked, performed))


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
    """Return the elements of a command set by the low half of their tag, group length left out."""
    elements: dict[int, bytes] = {}
    offset = 0
    while offset < len(data):
        _, tag, length = struct.unpack_from("<HHI", data, offset)
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


def p_data(message: Message, *, max_pdu: int = 16384, sizes: Sequence[int] | None = None) -> bytes:
    """Return the P-DATA-TF PDUs of `message`, one PDV in each, at most `max_pdu` bytes long after the header.

    `sizes`, when given, are the lengths of the fragments instead.
    """
    limit = (max_pdu or 65536) - 6
    return b"".join(pdu(PduType.P_DATA_TF, value) for value in fragments(message, sizes or [limit]))
