"""One element of a command set (PS3.7 §6.3.1): reading, checking and writing its value.

In implicit VR little endian an element is its tag as (group, element), 32 bits of value length, the value.
Read as one little-endian word the tag is `element << 16 | group`, so for group 0000 the words rise with the
element numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, NoReturn

from dimse_mesh.dimse.errors import CommandSetError, DimseErrorCode
from dimse_mesh.dimse.tags import VALUE_REPRESENTATIONS, Tag

HEADER: Final = Struct("<II")
unpack_header: Final = HEADER.unpack_from

REQUIRED_NUMBERS: Final = frozenset(
    (Tag.CommandField, Tag.MessageID, Tag.MessageIDBeingRespondedTo, Tag.CommandDataSetType, Tag.Status)
)
"""Numbers that can't be empty."""
# The group length (UL) isn't among them: it is kept as sent, whatever it is.
_NUMBERS: Final = frozenset(tag for tag, vr in VALUE_REPRESENTATIONS.items() if vr == "US")
_UIDS: Final = frozenset(tag for tag, vr in VALUE_REPRESENTATIONS.items() if vr == "UI")
_FIXED_LENGTHS: Final = {"US": 2, "UL": 4, "AT": 4}
_LONGEST_TEXT: Final = {"UI": 64, "AE": 16, "LO": 64}


def iterate(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (tag, value) of each element; raise if they don't fill `data` exactly."""
    end = len(data)
    offset = 0
    while offset < end:
        if offset + 8 > end:
            truncated(offset)
        word, length = unpack_header(data, offset)
        if word & 0xFFFF:
            raise foreign(word)
        start = offset + 8
        offset = start + length
        if offset > end:
            truncated(start)
        yield word >> 16, data[start:offset]


def check_value(tag: int, value: bytes) -> None:
    """Check what the typed properties read. Optional numbers may be empty, as type 2 elements are."""
    length = len(value)
    if tag in _NUMBERS:
        if length != 2 and (length or tag in REQUIRED_NUMBERS):
            raise invalid(tag, length)
    elif tag in _UIDS and not value.isascii():
        raise invalid(tag, length)


def check_unique(data: bytes | memoryview) -> None:
    """Raise if a tag occurs twice: two readers could take different ones."""
    seen: set[int] = set()
    for tag, _ in iterate(bytes(data)):
        if tag in seen:
            raise duplicate(tag)
        seen.add(tag)


def encode_value(tag: int, value: bytes | int | str) -> bytes:
    """Return the value as it goes on the wire, padded; raise ValueError if it doesn't fit the element."""
    if not 0 <= tag <= 0xFFFF:
        raise ValueError(f"0x{tag:08X} isn't in group 0000")
    vr = VALUE_REPRESENTATIONS.get(tag)
    fixed = _FIXED_LENGTHS.get(vr) if vr else None
    if isinstance(value, bytes):
        if len(value) % 2 or (vr in ("US", "UL") and len(value) not in (0, fixed)):
            raise ValueError(f"{len(value)} bytes don't fit (0000,{tag:04X}) {vr}")
        if tag in REQUIRED_NUMBERS and not value:
            raise ValueError(f"(0000,{tag:04X}) can't be empty")
        return value
    if isinstance(value, int):
        if fixed is None:
            raise ValueError(f"(0000,{tag:04X}) {vr} takes no integer")
        if not 0 <= value < 1 << 8 * fixed:
            raise ValueError(f"(0000,{tag:04X}) {vr} can't hold that integer")
        if vr == "AT":  # group, then element (PS3.5 §6.2)
            return (value >> 16 | (value & 0xFFFF) << 16).to_bytes(4, "little")
        return value.to_bytes(fixed, "little")
    longest = _LONGEST_TEXT.get(vr) if vr else None
    if longest is None:
        raise ValueError(f"(0000,{tag:04X}) {vr} takes no text")
    text = value.encode("ascii" if vr == "UI" else "latin-1")
    if len(text) > longest:
        raise ValueError(f"(0000,{tag:04X}) {vr} holds at most {longest} characters, not {len(text)}")
    return text + (b"\0" if vr == "UI" else b" ") if len(text) % 2 else text


def truncated(offset: int) -> NoReturn:
    raise CommandSetError(
        DimseErrorCode.TRUNCATED_COMMAND, f"element at byte {offset} reaches beyond the end"
    )


def foreign(word: int) -> CommandSetError:
    tag = f"({word & 0xFFFF:04X},{word >> 16:04X})"
    return CommandSetError(DimseErrorCode.FOREIGN_GROUP, f"element {tag} in a command set")


def duplicate(tag: int) -> CommandSetError:
    return CommandSetError(DimseErrorCode.DUPLICATE_ELEMENT, f"(0000,{tag:04X}) is there twice")


def invalid(tag: int, length: int) -> CommandSetError:
    return CommandSetError(
        DimseErrorCode.INVALID_VALUE, f"(0000,{tag:04X}) has an invalid value of {length} bytes"
    )
