"""The elements of a command set (PS3.7 §6.3.1): cutting it into them, and writing their values.

In implicit VR little endian an element is its tag as (group, element), 32 bits of value length, the value.
Read as one little-endian word the tag is `element << 16 | group`.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from dimse_mesh.dimse.tags import VALUE_REPRESENTATIONS, Tag

HEADER: Final = Struct("<II")
unpack_header: Final = HEADER.unpack_from

UNDEFINED_LENGTH: Final = 0xFFFFFFFF
"""Of a sequence or an item that ends with a delimiter (PS3.5 §7.5); a command set has none by the standard."""
_DELIMITERS: Final = (0xE00DFFFE, 0xE0DDFFFE)
REQUIRED_NUMBERS: Final = frozenset(
    (Tag.CommandField, Tag.MessageID, Tag.MessageIDBeingRespondedTo, Tag.CommandDataSetType, Tag.Status)
)
"""Numbers that must have a value when we write them."""
_FIXED_LENGTHS: Final = {"US": 2, "UL": 4, "AT": 4}
_LONGEST_TEXT: Final = {"UI": 64, "AE": 16, "LO": 64}


class Element(NamedTuple):
    """An element as it came."""

    tag: int
    """Group and element, as 0xGGGGEEEE: in group 0000 the element number."""
    encoded: bytes
    """Header and value."""
    value: bytes


def split(data: bytes) -> tuple[list[Element], bytes]:
    """Cut a command set into its elements, and a rest that is cut off."""
    elements: list[Element] = []
    end = len(data)
    offset = 0
    while offset + 8 <= end:
        word, length = unpack_header(data, offset)
        start = offset + 8
        stop = end_of_undefined(data, start) if length == UNDEFINED_LENGTH else start + length
        if stop > end:
            break
        tag = (word & 0xFFFF) << 16 | word >> 16
        elements.append(Element(tag, data[offset:stop], data[start:stop]))
        offset = stop
    return elements, data[offset:]


def end_of_undefined(data: bytes | memoryview, offset: int) -> int:
    """Return where the value of undefined length that begins at `offset` ends, delimiter included.

    That is beyond the end of `data` if it is cut off.
    """
    end = len(data)
    depth = 1
    while depth:
        if offset + 8 > end:
            return end + 1
        word, length = unpack_header(data, offset)
        offset += 8
        if word in _DELIMITERS:
            depth -= 1
        elif length == UNDEFINED_LENGTH:
            depth += 1
        else:
            offset += length
    return offset


def element(tag: int, value: bytes) -> Element:
    """Make an element of group 0000."""
    return Element(tag, HEADER.pack(tag << 16, len(value)) + value, value)


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
