"""What items have in common: type, reserved byte, 16-bit length, data (PS3.8 §9.3.2).

An item that was read keeps the bytes that it was read from and encodes to them, whatever its reserved bytes,
padding, unknown sub-items and their order. One that was made, or changed by `dataclasses.replace`, encodes
afresh. An item that can't be read is kept as one that we don't know: whether it is right is the other peer's to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from struct import Struct
from typing import ClassVar

from dimse_mesh.upper_layer.errors import MalformedPdu

ITEM_HEADER = Struct(">BBH")
ITEM_HEADER_LENGTH = 4
UINT16 = Struct(">H")
LONGEST_ITEM = 0xFFFF


@dataclass(frozen=True, slots=True)
class Encoded:
    """Base of every item; `item_type` is byte 1 of the item."""

    item_type: ClassVar[int]

    _raw: bytes = field(default=b"", init=False, repr=False, compare=False)

    def encode(self) -> bytes:
        """Give the whole item with its header; `ValueError` if a value doesn't fit its field."""
        return self._raw or encode_item(self.item_type, self._data())

    def _data(self) -> bytes:
        """Give what follows the item's header."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class UnknownItem(Encoded):
    """An item of a type that we don't know, or with contents that can't be read: passes through untouched.

    The contents may be secrets (a user identity): not in `repr`, never in a log.
    """

    type: int
    data: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Give the whole item with its header."""
        return self._raw or encode_item(self.type, self.data)


@dataclass(frozen=True, slots=True)
class Remainder(Encoded):
    """Bytes behind the last item that are no item: they pass through untouched, in the last place."""

    data: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Give the bytes."""
        return self.data


Decoder = Callable[[bytes, int, int], Encoded]
"""Reads the item that starts (with its header) at the first offset and ends before the second.

Raises `MalformedPdu` if it can't be read.
"""


def encode_item(item_type: int, data: bytes, *, second_byte: int = 0) -> bytes:
    """Put a header before `data`; `ValueError` if it is longer than 16 bits can say."""
    if len(data) > LONGEST_ITEM:
        raise ValueError(f"item {item_type:02X}H would hold {len(data)} bytes, more than 16 bits can say")
    return ITEM_HEADER.pack(item_type, second_byte, len(data)) + data


def encode_counted(value: bytes) -> bytes:
    """Put a 16-bit length before `value`; `ValueError` if it is longer than that can say."""
    if len(value) > LONGEST_ITEM:
        raise ValueError(f"a value of {len(value)} bytes, more than 16 bits can say")
    return UINT16.pack(len(value)) + value


def counted(data: bytes, at: int, end: int) -> tuple[bytes, int]:
    """Read a value with a 16-bit length before it; return it and where it ends. Raises `MalformedPdu`."""
    start = at + 2
    if start > end:
        raise MalformedPdu("a length field is cut off by the end of its item")
    stop = start + UINT16.unpack_from(data, at)[0]
    if stop > end:
        raise MalformedPdu("a value is longer than the item that holds it")
    return data[start:stop], stop


def item_end(data: bytes, at: int, end: int) -> int | None:
    """Return where the item that starts at `at` ends; None if that is beyond `end`."""
    start = at + ITEM_HEADER_LENGTH
    if start > end:
        return None
    stop: int = start + UINT16.unpack_from(data, at + 2)[0]
    return None if stop > end else stop


def decode_items(data: bytes, at: int, end: int, decoders: Mapping[int, Decoder]) -> list[Encoded]:
    """Read items until `end`: those that no decoder can read as `UnknownItem`, a rest that is none as `Remainder`."""
    items: list[Encoded] = []
    while at < end:
        stop = item_end(data, at, end)
        if stop is None:
            items.append(Remainder(data[at:end]))
            break
        item = _decode_item(data, at, stop, decoders)
        object.__setattr__(item, "_raw", data[at:stop])  # frozen for users; the item is not shared yet
        items.append(item)
        at = stop
    return items


def _decode_item(data: bytes, at: int, stop: int, decoders: Mapping[int, Decoder]) -> Encoded:
    decoder = decoders.get(data[at])
    if decoder is not None:
        try:
            return decoder(data, at, stop)
        except MalformedPdu:
            pass
    return UnknownItem(data[at], data[at + ITEM_HEADER_LENGTH : stop])
