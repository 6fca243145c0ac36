"""DIMSE messages from and to presentation data values (PS3.7 §6.3, PS3.8 §9.3.1, §9.3.5, Annex E).

Receiving: give every PDV to `MessageAssembler.pdv`; it collects the command set and passes data set
fragments on as they are, so no data set is ever held here.

    IDLE     command fragment, not last   -> COMMAND
             command fragment, last       -> CommandReceived; DATA SET if one is announced, else IDLE
    COMMAND  as IDLE, on the same presentation context only
    DATA SET data set fragment, not last  -> DataFragment
             data set fragment, last      -> DataFragment; IDLE

Any other PDV is an error. After an error the assembler must not be used again.

Sending: `encode_command`, `encode_data` and `encode_message` return whole P-DATA-TF PDUs with one PDV each;
`data_parts` the same in parts, with views of the data in place of a copy.
A command set and its data set never share a PDU: legal, but some peers choke on it.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from dimse_mesh.dimse.errors import DimseErrorCode, MessageError
from dimse_mesh.dimse.head import CommandHead, parse_head

# Message control header (PS3.8 §E.2); bits 2 to 7 are sent as 0 and not looked at.
COMMAND_FLAG: Final = 0x01
LAST_FLAG: Final = 0x02

UNLIMITED_PDU: Final = 1 << 20
"""Body of the longest PDU that we send to a peer whose Maximum Length is 0 or greater than this."""

# PDU type 04H, reserved, PDU length; PDV item length, presentation context id, message control header
_PDU_HEADER: Final = Struct(">BxIIBB").pack
_PDV_OVERHEAD: Final = 6  # of a PDU's body: item length (4), context id (1), message control header (1)


class CommandReceived(NamedTuple):
    """The command set of a message is complete."""

    context_id: int
    command: bytes
    head: CommandHead


class DataFragment(NamedTuple):
    """The next piece of the data set of the last `CommandReceived`; a view of what was given to `pdv`."""

    context_id: int
    fragment: memoryview
    last: bool


Event: TypeAlias = CommandReceived | DataFragment


class MessageAssembler:
    """Turn the PDVs of one direction of an association into command sets and data set fragments.

    Args:
        max_command_length: bytes of a command set, and fragments that it may come in.
    """

    __slots__ = ("_command_context", "_command_parts", "_data_context", "_max_command_length", "_remaining")

    def __init__(self, *, max_command_length: int = 65536) -> None:
        self._max_command_length = max_command_length
        self._data_context = -1  # of the data set that must come next; -1: none
        self._command_context = -1  # of the incomplete command set; -1: none
        self._command_parts: list[bytes] = []
        self._remaining = max_command_length

    @property
    def idle(self) -> bool:
        """True between messages."""
        return self._data_context < 0 and self._command_context < 0

    def pdv(self, context_id: int, flags: int, fragment: memoryview) -> Event | None:
        """Take a PDV; return what it completes. None: more is needed, or the fragment was empty.

        Raises:
            MessageError: it doesn't belong there, or the command set grows too long.
            CommandSetError: the command set that it completes is malformed.
        """
        if not flags & COMMAND_FLAG:
            if context_id != self._data_context:
                raise self._misplaced_data(context_id)
            if flags & LAST_FLAG:
                self._data_context = -1
                return DataFragment(context_id, fragment, True)
            return DataFragment(context_id, fragment, False) if len(fragment) else None
        if self._data_context >= 0:
            raise MessageError(
                DimseErrorCode.UNEXPECTED_COMMAND, "command fragment while a data set is incomplete"
            )
        if self._command_context >= 0 or not flags & LAST_FLAG:
            joined = self._collect(context_id, flags, fragment)
            if joined is None:
                return None
            command = joined
        elif len(fragment) > self._max_command_length:
            raise self._too_long()
        else:
            command = bytes(fragment)
        head = parse_head(command)
        if head.has_data_set:
            self._data_context = context_id
        return CommandReceived(context_id, command, head)

    def _collect(self, context_id: int, flags: int, fragment: memoryview) -> bytes | None:
        """Keep one of several fragments of a command set; return the command set after the last."""
        if self._command_context < 0:
            self._command_context = context_id
            self._remaining = self._max_command_length
        elif context_id != self._command_context:
            raise MessageError(
                DimseErrorCode.CONTEXT_CHANGED, "command fragments on two presentation contexts"
            )
        # An empty fragment counts as one byte, so that a peer can't send empty fragments for ever.
        self._remaining -= len(fragment) or 1
        if self._remaining < 0:
            raise self._too_long()
        self._command_parts.append(bytes(fragment))
        if not flags & LAST_FLAG:
            return None
        command = b"".join(self._command_parts)
        self._command_parts.clear()
        self._command_context = -1
        return command

    def _too_long(self) -> MessageError:
        limit = f"command set exceeds {self._max_command_length} bytes"
        return MessageError(DimseErrorCode.COMMAND_TOO_LONG, limit)

    def _misplaced_data(self, context_id: int) -> MessageError:
        if self._data_context < 0:
            return MessageError(
                DimseErrorCode.UNEXPECTED_DATA_SET, "data set fragment that no command announced"
            )
        contexts = f"data set fragment on context {context_id}, its command was on {self._data_context}"
        return MessageError(DimseErrorCode.CONTEXT_CHANGED, contexts)


def encode_command(context_id: int, command: bytes, max_pdu: int) -> bytes:
    """Encode a command set as whole P-DATA-TF PDUs.

    `max_pdu` is the peer's Maximum Length: bytes of a PDU's body, 0 for no limit (PS3.8 §D.1.1).

    Raises:
        ValueError: `max_pdu` leaves no room for a byte (1 to 6).
    """
    return b"".join(_parts(context_id, COMMAND_FLAG, command, True, max_pdu))


def encode_data(context_id: int, data: bytes | memoryview, last: bool, max_pdu: int) -> bytes:
    """Encode the next part of a data set as whole P-DATA-TF PDUs; `last` marks the end of the data set.

    Empty data yields no PDU, unless it is the last part: then it yields one PDU with an empty fragment. Every part
    but the last must have an even number of bytes, so that every fragment's length is even.

    Raises:
        ValueError: `max_pdu` leaves no room for a byte (1 to 6).
    """
    return b"".join(data_parts(context_id, data, last, max_pdu))


def data_parts(
    context_id: int, data: bytes | memoryview, last: bool, max_pdu: int
) -> list[bytes | memoryview]:
    """Return the bytes of `encode_data` in parts: headers, and views of `data` between them.

    Raises:
        ValueError: `max_pdu` leaves no room for a byte (1 to 6).
    """
    return _parts(context_id, 0, data, last, max_pdu)


def encode_message(context_id: int, command: bytes, data: bytes | memoryview | None, max_pdu: int) -> bytes:
    """Encode a whole message as P-DATA-TF PDUs; `data` is None if the command set announces no data set.

    Raises:
        ValueError: `max_pdu` leaves no room for a byte (1 to 6).
    """
    if data is None:
        return encode_command(context_id, command, max_pdu)
    room = (max_pdu if 0 < max_pdu < UNLIMITED_PDU else UNLIMITED_PDU) - _PDV_OVERHEAD
    command_size = len(command)
    data_size = len(data)
    if command_size <= room and data_size <= room:
        return b"".join(
            (
                _PDU_HEADER(0x04, command_size + 6, command_size + 2, context_id, COMMAND_FLAG | LAST_FLAG),
                command,
                _PDU_HEADER(0x04, data_size + 6, data_size + 2, context_id, LAST_FLAG),
                data,
            )
        )
    return encode_command(context_id, command, max_pdu) + encode_data(context_id, data, True, max_pdu)


def _parts(
    context_id: int, flags: int, data: bytes | memoryview, last: bool, max_pdu: int
) -> list[bytes | memoryview]:
    room = (max_pdu if 0 < max_pdu < UNLIMITED_PDU else UNLIMITED_PDU) - _PDV_OVERHEAD
    if room < 1:
        raise ValueError(f"a maximum PDU length of {max_pdu} leaves no room for data")
    size = len(data)
    if size <= room:
        if not size and not last:
            return []
        if last:
            flags |= LAST_FLAG
        return [_PDU_HEADER(0x04, size + 6, size + 2, context_id, flags), data]
    # An odd maximum would make odd fragments; DCMTK, too, sends even ones only, and some peers rely on it.
    room = room & ~1 or 1
    full = _PDU_HEADER(0x04, room + 6, room + 2, context_id, flags)
    view = memoryview(data)
    parts: list[bytes | memoryview] = []
    end = (size - 1) // room * room  # where the last fragment starts; it is never empty
    for start in range(0, end, room):
        parts.append(full)
        parts.append(view[start : start + room])
    rest = size - end
    parts.append(_PDU_HEADER(0x04, rest + 6, rest + 2, context_id, flags | LAST_FLAG if last else flags))
    parts.append(view[end:])
    return parts
