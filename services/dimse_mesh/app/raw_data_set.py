"""Data sets as peers send them, cut into elements whatever is wrong with them.

What stands before damage is read, and so is what follows it where the length of what is damaged is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from pydicom.datadict import dictionary_VR, keyword_for_tag

from dimse_mesh.dimse.encoding import IMPLICIT_LE

UNDEFINED: Final = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
MAX_DEPTH = 32
"""Sequences within sequences; what lies deeper stays bytes."""
MAX_ELEMENTS = 100_000
"""Elements of one data set, those in items included."""
MAX_PROBLEMS = 50
"""Lines about one data set."""

_SHORT: Final = frozenset(
    [
        "AE",
        "AS",
        "AT",
        "CS",
        "DA",
        "DS",
        "DT",
        "FD",
        "FL",
        "IS",
        "LO",
        "LT",
        "PN",
        "SH",
        "SL",
        "SS",
        "ST",
        "TM",
        "UI",
        "UL",
        "US",
    ]
)
"""Value representations with 16 bits of length (PS3.5 §7.1.2); all others have 32."""
_KNOWN: Final = _SHORT | frozenset(
    ["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]
)
_VR: Final = re.compile(rb"[A-Z]{2}")
_tag_and_length: Final = Struct("<HHI").unpack_from
_short_length: Final = Struct("<H").unpack_from
_long_length: Final = Struct("<I").unpack_from


@dataclass(frozen=True, slots=True)
class RawElement:
    """An element; `items` are those of a sequence, None for any other."""

    tag: int
    vr: str
    value: bytes
    items: tuple[RawDataSet, ...] | None = None


@dataclass(frozen=True, slots=True)
class RawDataSet:
    """Elements by tag, in the order in which they came; of one that is repeated the first.

    Attributes:
        broken: whether a part of it can't be read, so that what is absent may have been sent.
        problems: what is wrong with it and with its items, one line each.
    """

    elements: Mapping[int, RawElement] = field(default_factory=dict)
    broken: bool = False
    problems: tuple[str, ...] = ()


def name_of(tag: int) -> str:
    """Return the keyword of a tag, or its numbers."""
    return keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def read_raw(data: bytes, transfer_syntax: str) -> RawDataSet:
    """Read a data set in implicit or explicit VR little endian. Raises nothing, whatever the bytes are."""
    reader = _Reader(data)
    explicit = transfer_syntax != IMPLICIT_LE
    if len(data) >= 8 and explicit == (_VR.fullmatch(data, 4, 6) is None):
        explicit = reader.really_explicit(explicit)
    elements, broken, _ = reader.data_set(0, len(data), explicit, depth=0)
    return RawDataSet(elements, broken, tuple(reader.problems))


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._count = 0
        self._path: list[str] = []
        self.problems: list[str] = []

    def really_explicit(self, negotiated: bool) -> bool:
        """Return how the data set is encoded, if its first element looks as if it were not as negotiated."""
        if negotiated:  # there are no two letters where the VR should be
            self._problem("it is encoded without value representations, against what was negotiated")
            return False
        _, _, length = _tag_and_length(self._data, 0)
        vr = str(self._data[4:6], "ascii")
        if vr not in _KNOWN or 8 + length <= len(self._data):
            return False
        self._problem("it is encoded with value representations, against what was negotiated")
        return True

    def data_set(
        self, start: int, end: int, explicit: bool, *, depth: int
    ) -> tuple[dict[int, RawElement], bool, int]:
        """Read elements up to `end` or an item's delimiter; return them, whether some are lost, and where they end."""
        elements: dict[int, RawElement] = {}
        offset = start
        while offset < end:
            if end - offset < 8:
                self._problem(f"{end - offset} bytes at the end are no element")
                return elements, True, end
            group, number, _ = _tag_and_length(self._data, offset)
            tag = group << 16 | number
            if tag == _ITEM_END and depth:
                return elements, False, offset + 8
            self._count += 1
            if self._count > MAX_ELEMENTS:
                self._problem(f"it has more than {MAX_ELEMENTS} elements")
                return elements, True, end
            self._path.append(name_of(tag))
            element, broken, offset = self._element(offset, end, explicit, depth)
            if element is not None:
                if tag in elements:
                    self._problem("it stands there again; the first one is shown")
                else:
                    elements[tag] = element
            self._path.pop()
            if broken:
                return elements, True, end
        return elements, False, end

    def _element(
        self, offset: int, end: int, explicit: bool, depth: int
    ) -> tuple[RawElement | None, bool, int]:
        """Read an element; return it, whether what follows is lost, and where it ends."""
        group, number, length = _tag_and_length(self._data, offset)
        start, tag = offset + 8, group << 16 | number
        vr = _implicit_vr(tag)
        if explicit and _VR.fullmatch(self._data, offset + 4, offset + 6):
            vr = str(self._data[offset + 4 : offset + 6], "ascii")
            if vr in _SHORT:
                (length,) = _short_length(self._data, offset + 6)
            elif end - offset < 12:
                self._problem("it is cut off")
                return None, True, end
            else:
                (length,) = _long_length(self._data, offset + 8)
                start = offset + 12
            if vr not in _KNOWN:
                self._problem(f"its value representation {vr} is unknown")
                vr = "UN"
        elif explicit:
            self._problem("it has no value representation")
        if length == UNDEFINED:
            items, broken, stop = self._items(start, end, explicit and vr != "UN", depth, delimited=True)
            return RawElement(tag, "SQ", self._data[start:stop], items), broken, stop
        stop, cut = start + length, False
        if stop > end:
            self._problem(f"{length} bytes are announced and {end - start} are there")
            stop, cut = end, True
        if vr == "UN":  # a sender that doesn't know it writes it as if it were implicit (PS3.5 §6.2.2)
            vr, explicit = _implicit_vr(tag), False
        if vr != "SQ":
            return RawElement(tag, vr, self._data[start:stop]), cut, stop
        items, broken, _ = self._items(start, stop, explicit, depth, delimited=False)
        return RawElement(tag, vr, self._data[start:stop], items), cut, stop

    def _items(
        self, start: int, end: int, explicit: bool, depth: int, *, delimited: bool
    ) -> tuple[tuple[RawDataSet, ...], bool, int]:
        """Read the items of a sequence; return them, whether what follows it is lost, and where it ends."""
        items: list[RawDataSet] = []
        if depth == MAX_DEPTH:
            self._problem("it lies too deep")
            return (), delimited, end
        offset = start
        while offset < end:
            if end - offset < 8:
                break
            group, number, length = _tag_and_length(self._data, offset)
            tag = group << 16 | number
            if tag == _SEQUENCE_END and delimited:
                return tuple(items), False, offset + 8
            if tag != _ITEM:
                break
            offset += 8
            stop = end if length == UNDEFINED else min(offset + length, end)
            elements, broken, offset = self.data_set(offset, stop, explicit, depth=depth + 1)
            items.append(RawDataSet(elements, broken))
            if broken and length == UNDEFINED:
                return tuple(items), True, end
        else:
            if not delimited:
                return tuple(items), False, end
        self._problem("the sequence breaks off")
        return tuple(items), delimited, end

    def _problem(self, what: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(": ".join((".".join(self._path), what)) if self._path else what)


def _implicit_vr(tag: int) -> str:
    """Return the value representation of an element that doesn't say it (PS3.5 §6.2, §7.8)."""
    try:
        return str(dictionary_VR(tag)).split(" or ", maxsplit=1)[0]
    except KeyError:
        if tag & 0xFFFF == 0:
            return "UL"
        return "LO" if tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
