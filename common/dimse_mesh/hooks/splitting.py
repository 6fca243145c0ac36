"""Find the pixel data in an encoded data set, so that it can pass by the hooks (PS3.5 §7, §A.4).

    header    what stands before pixel data
    pixels    one element, (7FE0,0008), (7FE0,0009) or (7FE0,0010): tag, length, value
    trailer   what stands behind: digital signatures, padding, private groups above 7FE0

The parser is fed piece by piece and holds nothing of the pixel data. It follows lengths, and goes into sequences and
items of undefined length; it judges nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass
from typing import Final, Literal

from dimse_mesh.dimse.encoding import DEFLATED, EXPLICIT_BE, IMPLICIT_LE, LONG_VRS

_PIXELS: Final = frozenset(((0x7FE0, 0x0008), (0x7FE0, 0x0009), (0x7FE0, 0x0010)))
_ITEM: Final = (0xFFFE, 0xE000)
_ENDS: Final = frozenset(((0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)))
_UNDEFINED: Final = 0xFFFF_FFFF
_DEEPEST: Final = 64
"""Sequences within each other, at most."""


class Malformed(Exception):
    """The data set can't be read: a length leads beyond its end, or nothing of PS3.5 stands there."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Where pixel data is, and the rest of the data set.

    Attributes:
        first, length: of the pixel data element; without one, the data set's length and 0.
        header, trailer: the bytes before and behind.
    """

    first: int
    length: int
    header: bytes
    trailer: bytes


async def split(pieces: AsyncIterator[bytes | memoryview], transfer_syntax: str, *, most: int) -> Extent:
    """Read a data set to its end, and keep all of it but pixel data.

    Raises:
        Malformed: it can't be read, or more than `most` bytes of it are something else than pixel data.
    """
    if transfer_syntax in DEFLATED:
        whole = bytearray()
        async for piece in pieces:
            whole += piece
            _bounded(len(whole), most)
        return Extent(len(whole), 0, bytes(whole), b"")
    splitter = Splitter(transfer_syntax, most=most)
    async for piece in pieces:
        splitter.feed(piece)
    return splitter.end()


class Splitter:
    """Takes a data set piece by piece."""

    def __init__(self, transfer_syntax: str, *, most: int) -> None:
        self._most = most
        self._order: Final[Literal["big", "little"]] = "big" if transfer_syntax == EXPLICIT_BE else "little"
        self._buffer = bytearray()
        self._header = bytearray()
        self._trailer = bytearray()
        self._pixels = 0
        self._first: int | None = None
        self._in_pixels = False
        self._passing = 0
        """Bytes of a value that are yet to pass."""
        self._depth = 0
        """Sequences and items that are open."""
        self._wanted = 8
        self._parser = self._elements(implicit=transfer_syntax == IMPLICIT_LE)
        next(self._parser)

    def feed(self, piece: bytes | memoryview) -> None:
        """Take the next bytes.

        Raises:
            Malformed: as `split`.
        """
        view = memoryview(piece)
        at = 0
        while at < len(view):
            if self._passing:
                taken = min(self._passing, len(view) - at)
                self._keep(view[at : at + taken])
                self._passing -= taken
                at += taken
                continue
            taken = min(self._wanted - len(self._buffer), len(view) - at)
            self._buffer += view[at : at + taken]
            at += taken
            if len(self._buffer) == self._wanted:
                head, self._buffer = bytes(self._buffer), bytearray()
                self._parser.send(head)

    def end(self) -> Extent:
        """Return what was found, once all bytes are here.

        Raises:
            Malformed: the data set ends in the middle of an element.
        """
        if self._buffer or self._passing or self._depth:
            raise Malformed("its data set ends in the middle of an element")
        total = len(self._header)
        first = total if self._first is None else self._first
        return Extent(first, self._pixels, bytes(self._header), bytes(self._trailer))

    def _keep(self, piece: bytes | memoryview) -> None:
        if self._in_pixels:
            self._pixels += len(piece)
            return
        kept = self._header if self._first is None else self._trailer
        kept += piece
        _bounded(len(self._header) + len(self._trailer), self._most)

    def _number(self, raw: bytes) -> int:
        return int.from_bytes(raw, self._order)

    def _elements(self, *, implicit: bool) -> Generator[None, bytes, None]:
        """Follow elements: each `yield` gets the next `_wanted` bytes."""
        stack: list[bool] = []  # of what is open: whether its elements have an implicit VR
        while True:
            self._wanted = 8
            head = yield
            tag = (self._number(head[:2]), self._number(head[2:4]))
            if not stack:
                self._in_pixels = tag in _PIXELS
                if self._in_pixels:
                    if self._first is not None:
                        raise Malformed("its data set has pixel data twice")
                    self._first = len(self._header)
            self._keep(head)
            if tag == _ITEM or tag in _ENDS:
                length = self._number(head[4:])
                if not stack:
                    raise Malformed("an item of its data set is in no sequence")
                if tag in _ENDS:
                    stack.pop()
                elif length == _UNDEFINED:
                    stack.append(stack[-1])
                else:
                    self._passing = length
            else:
                here = stack[-1] if stack else implicit
                vr = b""
                if here:
                    length = self._number(head[4:])
                elif (vr := head[4:6]) in LONG_VRS:
                    self._wanted = 4
                    tail = yield
                    self._keep(tail)
                    length = self._number(tail)
                else:
                    length = self._number(head[6:])
                    if not vr.isalpha():
                        raise Malformed("an element of its data set has no value representation")
                if length == _UNDEFINED:
                    stack.append(here or vr == b"UN")  # PS3.5 §6.2.2: its items have an implicit VR
                else:
                    self._passing = length
            if len(stack) > _DEEPEST:
                raise Malformed(f"its data set has more than {_DEEPEST} sequences within each other")
            self._depth = len(stack)


def _bounded(size: int, most: int) -> None:
    if size > most:
        raise Malformed(
            f"more than {most} bytes of its data set are no pixel data (delivery.hooks.max_bytes)"
        )
