"""Read some elements of a data set from its first bytes (PS3.5 §7), while the rest is still coming.

Nothing is judged: an element that can't be reached counts as absent.
"""

from __future__ import annotations

import zlib
from struct import Struct
from typing import Final, NamedTuple

from dimse_mesh.dimse.encoding import DEFLATED, EXPLICIT_BE, IMPLICIT_LE, LONG_VRS

LONGEST_HEAD: Final = 1 << 20
"""Bytes of a data set in which the elements are looked for."""

_ITEM: Final = 0xFFFE_E000
_ITEM_END: Final = 0xFFFE_E00D
_SEQUENCE_END: Final = 0xFFFE_E0DD
_UNDEFINED: Final = 0xFFFF_FFFF


class HeadElements(NamedTuple):
    """What was found.

    Attributes:
        values: as text, by tag.
        complete: whether more bytes would change nothing.
    """

    values: dict[int, str]
    complete: bool


class HeadReader:
    """Collects the first bytes of a data set until the wanted elements have been seen or passed."""

    def __init__(self, wanted: frozenset[int], transfer_syntax: str) -> None:
        self._wanted = wanted
        self._syntax = transfer_syntax
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS) if transfer_syntax in DEFLATED else None
        self._plain = bytearray()
        self._next_look = 1
        """Bytes at which they are read again: each time twice as many, so that tiny pieces cost little."""
        self.values: dict[int, str] = {}
        self.complete = not wanted

    def feed(self, piece: bytes | memoryview) -> None:
        """Take the next bytes."""
        if self.complete:
            return
        room = LONGEST_HEAD - len(self._plain)
        if self._inflate is None:
            self._plain += piece[:room]
        else:
            try:
                self._plain += self._inflate.decompress(piece, room)
            except zlib.error:
                self.complete = True
                return
        if len(self._plain) >= self._next_look:
            self._next_look = min(2 * len(self._plain), LONGEST_HEAD)
            self.finish()
            self.complete = self.complete or len(self._plain) >= LONGEST_HEAD

    def finish(self) -> None:
        """Read what has come."""
        if not self.complete:
            self.values, self.complete = elements_in(bytes(self._plain), self._syntax, self._wanted)


def elements_in(head: bytes, transfer_syntax: str, wanted: frozenset[int]) -> HeadElements:
    """Return the wanted elements of the outermost level, if they stand within `head`, a data set's first bytes."""
    order = ">" if transfer_syntax == EXPLICIT_BE else "<"
    read_tag = Struct(f"{order}HH").unpack_from
    read_short, read_long = Struct(f"{order}H").unpack_from, Struct(f"{order}I").unpack_from
    furthest = max(wanted, default=-1)
    values: dict[int, str] = {}
    implicit = [
        transfer_syntax == IMPLICIT_LE
    ]  # for each open sequence or item of undefined length, innermost last
    at, end = 0, len(head)
    while at + 8 <= end:
        group, number = read_tag(head, at)
        tag = group << 16 | number
        if tag in {_ITEM, _ITEM_END, _SEQUENCE_END}:
            length = read_long(head, at + 4)[0]
            at += 8
            if tag != _ITEM:
                if len(implicit) == 1:
                    return HeadElements(values, True)  # an end of nothing
                implicit.pop()
            elif length == _UNDEFINED:
                implicit.append(implicit[-1])
            else:
                at += length
            continue
        outermost = len(implicit) == 1
        if outermost and tag > furthest:
            return HeadElements(values, True)
        nested_implicit = implicit[-1]
        if implicit[-1]:
            length, at = read_long(head, at + 4)[0], at + 8
        elif (vr := head[at + 4 : at + 6]) in LONG_VRS:
            if at + 12 > end:
                break
            length, at = read_long(head, at + 8)[0], at + 12
            nested_implicit = vr == b"UN"  # PS3.5 §6.2.2
        else:
            length, at = read_short(head, at + 6)[0], at + 8
        if length == _UNDEFINED:
            implicit.append(nested_implicit)
            continue
        if outermost and tag in wanted:
            if at + length > end:
                return HeadElements(values, False)
            values[tag] = str(head[at : at + length], "latin-1").strip("\0 ")
            if tag == furthest:
                return HeadElements(values, True)
        at += length
    return HeadElements(values, False)
