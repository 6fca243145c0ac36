"""The head of a command set: what routing and policy need to know of a message (PS3.7 §6.3.1, Annex E).

`parse_head` runs once for every message. It checks only the elements that it returns; everything else in a command
set concerns the peers alone and passes byte for byte. Unknown, private and repeated elements, other groups, odd
lengths, a wrong group length and an unreadable rest are therefore no errors.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

from dimse_mesh.dimse.elements import UNDEFINED_LENGTH, end_of_undefined, unpack_header
from dimse_mesh.dimse.errors import CommandSetError, DimseErrorCode

_unpack_us: Final = Struct("<H").unpack_from

NO_DATA_SET: Final = 0x0101
"""Value of CommandDataSetType that says: no data set follows (PS3.7 §E.1). Any other says: one does."""
RESPONSE_BIT: Final = 0x8000
PENDING: Final = (0xFF00, 0xFF01)


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
    """What routing a message needs to know of its command set.

    If an element has several values, the first one counts; if an element is repeated, the last one counts.
    """

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
        return self.status in PENDING


def parse_head(data: bytes | memoryview) -> CommandHead:
    """Read the head of a command set.

    A number of another length than 2 is read by its first two bytes; an empty one counts as absent.

    Raises:
        CommandSetError: the command field or the data set type is missing, or there are two command fields.
    """
    end = len(data)
    offset = 0
    command_field = data_set_type = status = -1
    message_id = responded_to = 0
    affected: bytes | memoryview = b""
    requested: bytes | memoryview = b""
    while offset + 8 <= end:
        word, length = unpack_header(data, offset)
        start = offset + 8
        offset = start + length
        if offset > end:
            if length != UNDEFINED_LENGTH:
                break  # cut off: nobody can read what follows
            offset = end_of_undefined(data, start)
        elif word in _NUMBERS:
            if length == 2:
                (number,) = _unpack_us(data, start)
            elif length:
                number = int.from_bytes(data[start : start + min(length, 2)], "little")
            else:
                continue
            if word == _MESSAGE_ID:
                message_id = number
            elif word == _RESPONDED_TO:
                responded_to = number
            elif word == _STATUS:
                status = number
            elif word == _DATA_SET_TYPE:
                data_set_type = number
            elif command_field in (-1, number):
                command_field = number
            else:  # Policy decides by it, and the target might take the other one.
                raise CommandSetError(
                    DimseErrorCode.AMBIGUOUS_COMMAND_FIELD, "two values of CommandField (0000,0100)"
                )
        elif word == _AFFECTED:
            affected = data[start:offset]
        elif word == _REQUESTED:
            requested = data[start:offset]
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
        str(affected or requested, "latin-1").strip("\0 "),
    )


# Tags as `unpack_header` reads them: the element number above the group, which is 0.
_COMMAND_FIELD: Final = 0x01000000
_MESSAGE_ID: Final = 0x01100000
_RESPONDED_TO: Final = 0x01200000
_DATA_SET_TYPE: Final = 0x08000000
_STATUS: Final = 0x09000000
_AFFECTED: Final = 0x00020000
_REQUESTED: Final = 0x00030000
_NUMBERS: Final = frozenset((_COMMAND_FIELD, _MESSAGE_ID, _RESPONDED_TO, _DATA_SET_TYPE, _STATUS))
