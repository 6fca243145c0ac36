"""Data sets that tell whose they are: made in pieces and checked in pieces, so that nobody holds a gigabyte.

The first touch of fresh memory costs more than all that is done to the bytes: seconds a gigabyte on a virtual machine.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator

_UID_ROOM = 64
# Odd and without a pattern: no chunk can be swapped for another, sent twice or left out unseen.
_BLOCK = random.Random(0).randbytes((2 << 20) - 1)
_TWICE = _BLOCK + _BLOCK
PIECE = 1 << 20


def instance_uid(client: int, study: int, number: int, size: int) -> str:
    """Return a UID that tells the size of its instance."""
    return f"1.2.826.0.1.3680043.9.9999.{client}.{study}.{number}.{size}"


def size_of(uid: str) -> int:
    """Return the size that `instance_uid` put into a UID."""
    return int(uid.rpartition(".")[2])


def length_of(size: int) -> int:
    """Return how long the data set of an instance of that size is: even, and with room for its UID."""
    return max(size, _UID_ROOM) & ~1


def _part(uid: str, offset: int, count: int) -> bytes:
    """Return the `count` bytes, `PIECE` at most, at `offset` behind the UID's room."""
    start = (zlib.crc32(uid.encode()) + offset) % len(_BLOCK)
    return _TWICE[start : start + count]


def pieces(uid: str, size: int, *, piece: int = PIECE) -> Iterator[bytes]:
    """Yield the data set of instance `uid`: the UID, then `piece` bytes at a time, `PIECE` at most."""
    assert piece <= PIECE
    yield uid.encode().ljust(_UID_ROOM)
    room = length_of(size) - _UID_ROOM
    for offset in range(0, room, piece):
        yield _part(uid, offset, min(piece, room - offset))


def content(uid: str, size: int) -> bytes:
    """Return the data set of instance `uid`, `size` bytes: no two are equal, and any can be checked."""
    return b"".join(pieces(uid, size))


class Arrival:
    """The data set of an instance as it arrives: compared at once, never kept."""

    def __init__(self, uid: str) -> None:
        self._uid = uid
        self._head = uid.encode().ljust(_UID_ROOM)
        self._expected = length_of(size_of(uid))
        self._count = 0
        self._intact = True

    def add(self, fragment: bytes) -> None:
        """Compare the next fragment with what was sent."""
        start = 0
        if self._count < _UID_ROOM:
            start = min(_UID_ROOM - self._count, len(fragment))
            self._intact &= fragment[:start] == self._head[self._count : self._count + start]
        for offset in range(start, len(fragment), PIECE):
            part = fragment[offset : offset + PIECE]
            self._intact &= part == _part(self._uid, self._count + offset - _UID_ROOM, len(part))
        self._count += len(fragment)

    @property
    def whole(self) -> bool:
        """Whether all has arrived, as it was sent."""
        return self._intact and self._count == self._expected
