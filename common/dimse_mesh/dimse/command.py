"""Command sets (PS3.7 §6.3.1, Annex E): implicit VR little endian, kept byte for byte.

`parse_head` reads what routing a message needs and checks the structure of all of it; it runs once
for every message. `CommandSet` gives access to each element, and makes new command sets.
Neither loses what it doesn't know: unknown elements, odd lengths and a wrong group length are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum
from struct import Struct
from types import MappingProxyType
from typing import Final, NamedTuple, final

from dimse_mesh.dimse.elements import (
    HEADER,
    check_unique,
    check_value,
    duplicate,
    encode_value,
    foreign,
    invalid,
    iterate,
    truncated,
    unpack_header,
)
from dimse_mesh.dimse.errors import CommandSetError, DimseErrorCode
from dimse_mesh.dimse.tags import Tag

_unpack_us: Final = Struct("<H").unpack_from

NO_DATA_SET: Final = 0x0101
"""Value of CommandDataSetType that says: no data set follows (PS3.7 §E.1). Any other says: one does."""
RESPONSE_BIT: Final = 0x8000
_PENDING: Final = (0xFF00, 0xFF01)


class CommandField(IntEnum):
    """Every DIMSE message (PS3.7 §E.1, Command Field)."""

    C_STORE_RQ = 0x0001
    C_STORE_RSP = 0x8001
    C_GET_RQ = 0x0010
    C_GET_RSP = 0x8010
    C_FIND_RQ = 0x0020
    C_FIND_RSP = 0x8020
    C_MOVE_RQ = 0x0021
    C_MOVE_RSP = 0x8021
    C_ECHO_RQ = 0x0030
    C_ECHO_RSP = 0x8030
    N_EVENT_REPORT_RQ = 0x0100
    N_EVENT_REPORT_RSP = 0x8100
    N_GET_RQ = 0x0110
    N_GET_RSP = 0x8110
    N_SET_RQ = 0x0120
    N_SET_RSP = 0x8120
    N_ACTION_RQ = 0x0130
    N_ACTION_RSP = 0x8130
    N_CREATE_RQ = 0x0140
    N_CREATE_RSP = 0x8140
    N_DELETE_RQ = 0x0150
    N_DELETE_RSP = 0x8150
    C_CANCEL_RQ = 0x0FFF


class CommandHead(NamedTuple):
    """What routing a message needs to know of its command set."""

    command_field: int
    message_id: int
    """0 if absent (responses and C-CANCEL have none)."""
    responded_to: int
    """MessageIDBeingRespondedTo; 0 if absent (requests have none)."""
    status: int
    """-1 if absent."""
    has_data_set: bool
    sop_class: str
    """The affected SOP class UID, else the requested one, else empty."""

    @property
    def is_response(self) -> bool:
        return self.command_field & RESPONSE_BIT != 0

    @property
    def is_pending(self) -> bool:
        """True for a response after which more will come."""
        return self.status in _PENDING


def parse_head(data: bytes | memoryview) -> CommandHead:
    """Read the head of a command set, checking that the whole of it consists of elements of group 0000.

    Raises:
        CommandSetError: it doesn't, or what it must contain is missing.
    """
    end = len(data)
    offset = 0
    last = -1
    ordered = True
    command_field = data_set_type = status = -1
    message_id = responded_to = 0
    affected: bytes | memoryview | None = None
    requested: bytes | memoryview | None = None
    while offset < end:
        if offset + 8 > end:
            truncated(offset)
        tag, length = unpack_header(data, offset)
        start = offset + 8
        offset = start + length
        if tag & 0xFFFF:
            raise foreign(tag)
        if tag > last:
            last = tag
        elif ordered:
            ordered = False
            check_unique(data)  # rare, so the price of a set is paid only here
        if length == 2:
            if offset > end:
                truncated(start)
            if tag == 0x01000000:
                (command_field,) = _unpack_us(data, start)
            elif tag == 0x08000000:
                (data_set_type,) = _unpack_us(data, start)
            elif tag == 0x01100000:
                (message_id,) = _unpack_us(data, start)
            elif tag == 0x01200000:
                (responded_to,) = _unpack_us(data, start)
            elif tag == 0x09000000:
                (status,) = _unpack_us(data, start)
            elif tag == 0x00020000:
                affected = data[start:offset]
            elif tag == 0x00030000:
                requested = data[start:offset]
        elif tag == 0x00020000:
            affected = data[start:offset]
        elif tag == 0x00030000:
            requested = data[start:offset]
        elif tag in _HEAD_NUMBERS:
            raise invalid(tag >> 16, length)
    if offset > end:
        truncated(end)
    if command_field < 0:
        raise CommandSetError(DimseErrorCode.MISSING_COMMAND_FIELD, "no CommandField (0000,0100)")
    if data_set_type < 0:
        raise CommandSetError(DimseErrorCode.MISSING_DATA_SET_TYPE, "no CommandDataSetType (0000,0800)")
    return CommandHead(
        command_field,
        message_id,
        responded_to,
        status,
        data_set_type != NO_DATA_SET,
        _uid(affected or requested or b""),
    )


_HEAD_NUMBERS: Final = frozenset((0x01000000, 0x08000000, 0x01100000, 0x01200000, 0x09000000))


@final
class CommandSet:
    """A command set. Immutable; equal if its bytes are.

    Numbers and texts that are absent, or present without a value, are None.
    """

    __slots__ = ("_elements", "_encoded")

    _elements: dict[int, bytes]
    _encoded: bytes

    def __init__(self) -> None:
        raise TypeError("use CommandSet.parse or CommandSet.build")

    @classmethod
    def parse(cls, data: bytes | memoryview) -> CommandSet:
        """Read a command set; `encode` will return the same bytes.

        Raises:
            CommandSetError: it is malformed, or one of the values that this class reads is.
        """
        encoded = bytes(data)
        elements: dict[int, bytes] = {}
        for tag, value in iterate(encoded):
            if tag in elements:
                raise duplicate(tag)
            check_value(tag, value)
            elements[tag] = value
        if Tag.CommandField not in elements:
            raise CommandSetError(DimseErrorCode.MISSING_COMMAND_FIELD, "no CommandField (0000,0100)")
        if Tag.CommandDataSetType not in elements:
            raise CommandSetError(DimseErrorCode.MISSING_DATA_SET_TYPE, "no CommandDataSetType (0000,0800)")
        return cls._make(elements, encoded)

    @classmethod
    def build(cls, elements: Mapping[int, bytes | int | str]) -> CommandSet:
        """Make a command set of these elements, in tag order, with the group length computed.

        Raises:
            ValueError: a value doesn't fit its element, or CommandField or CommandDataSetType is missing.
        """
        return cls._from_elements({tag: encode_value(tag, elements[tag]) for tag in sorted(elements)})

    def replace(self, changes: Mapping[int, bytes | int | str | None]) -> CommandSet:
        """Return a copy with these elements set, or removed (None), and the group length computed anew.

        Elements that were there stay in their place; new ones are inserted in tag order.
        Integers are written as US or UL (one AT value as 0xGGGGEEEE), texts padded to an even length
        (UI with a null, AE and LO with a space), bytes as they are.

        Raises:
            ValueError: a value doesn't fit its element, or CommandField or CommandDataSetType is removed.
        """
        elements = dict(self._elements)
        added: dict[int, bytes] = {}
        for tag, value in changes.items():
            if value is None:
                elements.pop(tag, None)
            elif tag in elements:
                elements[tag] = encode_value(tag, value)
            else:
                added[tag] = encode_value(tag, value)
        for tag in sorted(added):
            items = list(elements.items())
            position = next((i for i, (other, _) in enumerate(items) if other > tag), len(items))
            items.insert(position, (tag, added[tag]))
            elements = dict(items)
        return self._from_elements(elements)

    def encode(self) -> bytes:
        """Return the bytes of the command set, group length included."""
        return self._encoded

    def get(self, tag: int) -> bytes | None:
        """Return the value of an element as it was sent, padding included; None if it is absent."""
        return self._elements.get(tag)

    def __contains__(self, tag: int) -> bool:
        return tag in self._elements

    def __iter__(self) -> Iterator[int]:
        """Iterate over the tags, in the order in which the elements were sent."""
        return iter(self._elements)

    def __len__(self) -> int:
        return len(self._elements)

    @property
    def elements(self) -> Mapping[int, bytes]:
        """The elements, by tag, in the order in which they were sent; read-only."""
        return MappingProxyType(self._elements)

    def number(self, tag: int) -> int | None:
        """Return the value of a US or UL element; None if it is absent, empty or of another length."""
        value = self._elements.get(tag)
        return int.from_bytes(value, "little") if value is not None and len(value) in (2, 4) else None

    def uid(self, tag: int) -> str | None:
        """Return the value of a UI element without its padding; None if it is absent or empty."""
        value = self._elements.get(tag)
        return str(value, "ascii", "replace").rstrip("\0 ") or None if value is not None else None

    def text(self, tag: int) -> str | None:
        """Return the value of an AE or LO element without its padding; None if it is absent or blank.

        Read as ISO 8859-1, in which every byte is a character: what peers send outside of the default
        repertoire (PS3.5 §6.2) stays distinguishable.
        """
        value = self._elements.get(tag)
        return str(value, "latin-1").strip("\0 ") or None if value is not None else None

    @property
    def command_field(self) -> int:
        """The message's kind; one of `CommandField`, unless the peer sent something unknown."""
        return int.from_bytes(self._elements[Tag.CommandField], "little")

    @property
    def has_data_set(self) -> bool:
        return int.from_bytes(self._elements[Tag.CommandDataSetType], "little") != NO_DATA_SET

    @property
    def is_response(self) -> bool:
        return self.command_field & RESPONSE_BIT != 0

    @property
    def is_pending(self) -> bool:
        """True for a response after which more will come."""
        return self.status in _PENDING

    @property
    def message_id(self) -> int | None:
        return self.number(Tag.MessageID)

    @property
    def message_id_being_responded_to(self) -> int | None:
        return self.number(Tag.MessageIDBeingRespondedTo)

    @property
    def status(self) -> int | None:
        return self.number(Tag.Status)

    @property
    def priority(self) -> int | None:
        return self.number(Tag.Priority)

    @property
    def affected_sop_class_uid(self) -> str | None:
        return self.uid(Tag.AffectedSOPClassUID)

    @property
    def requested_sop_class_uid(self) -> str | None:
        return self.uid(Tag.RequestedSOPClassUID)

    @property
    def affected_sop_instance_uid(self) -> str | None:
        return self.uid(Tag.AffectedSOPInstanceUID)

    @property
    def requested_sop_instance_uid(self) -> str | None:
        return self.uid(Tag.RequestedSOPInstanceUID)

    @property
    def move_destination(self) -> str | None:
        return self.text(Tag.MoveDestination)

    @property
    def move_originator_ae(self) -> str | None:
        return self.text(Tag.MoveOriginatorApplicationEntityTitle)

    @property
    def move_originator_message_id(self) -> int | None:
        return self.number(Tag.MoveOriginatorMessageID)

    @property
    def event_type_id(self) -> int | None:
        return self.number(Tag.EventTypeID)

    @property
    def action_type_id(self) -> int | None:
        return self.number(Tag.ActionTypeID)

    @property
    def remaining_suboperations(self) -> int | None:
        return self.number(Tag.NumberOfRemainingSuboperations)

    @property
    def completed_suboperations(self) -> int | None:
        return self.number(Tag.NumberOfCompletedSuboperations)

    @property
    def failed_suboperations(self) -> int | None:
        return self.number(Tag.NumberOfFailedSuboperations)

    @property
    def warning_suboperations(self) -> int | None:
        return self.number(Tag.NumberOfWarningSuboperations)

    @property
    def error_comment(self) -> str | None:
        """The peer's own words; may hold patient data, so not for logs."""
        return self.text(Tag.ErrorComment)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CommandSet) and self._encoded == other._encoded

    def __hash__(self) -> int:
        return hash(self._encoded)

    def __repr__(self) -> str:
        """Name the message, without any value that could identify a patient."""
        field = self.command_field
        name = CommandField(field).name if field in _KNOWN_FIELDS else f"0x{field:04X}"
        ids = f"message_id={self.message_id}, responded_to={self.message_id_being_responded_to}"
        status = "" if self.status is None else f", status=0x{self.status:04X}"
        return f"<CommandSet {name} {ids}{status}>"

    @classmethod
    def _make(cls, elements: dict[int, bytes], encoded: bytes) -> CommandSet:
        self = object.__new__(cls)
        self._elements = elements
        self._encoded = encoded
        return self

    @classmethod
    def _from_elements(cls, elements: dict[int, bytes]) -> CommandSet:
        if Tag.CommandField not in elements or Tag.CommandDataSetType not in elements:
            raise ValueError("a command set needs CommandField and CommandDataSetType")
        parts: list[bytes] = []
        for tag, value in elements.items():
            if tag != Tag.CommandGroupLength:
                parts += (HEADER.pack(tag << 16, len(value)), value)
        body = b"".join(parts)
        group_length = len(body).to_bytes(4, "little")
        # PS3.7 §6.3.1: the group length comes first, and counts the bytes after itself.
        ordered = {int(Tag.CommandGroupLength): group_length}
        ordered.update((tag, value) for tag, value in elements.items() if tag != Tag.CommandGroupLength)
        return cls._make(ordered, HEADER.pack(0, 4) + group_length + body)


_KNOWN_FIELDS: Final = frozenset(CommandField)


def _uid(value: bytes | memoryview) -> str:
    try:
        return str(value, "ascii").rstrip("\0 ")
    except UnicodeDecodeError:
        raise CommandSetError(DimseErrorCode.INVALID_VALUE, "a SOP class UID isn't ASCII") from None
