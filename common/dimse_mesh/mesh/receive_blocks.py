"""Memory that sockets are read into, and where what was read may stay, so that nobody has to copy it.

A `Block` is read into again only when no view refers to it any more; `last_long` tells such views, and those that are
read-only. When every block is referred to, plain memory is lent: views of that are overwritten by the next read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_WORTH_KEEPING: Final = 32 * 1024
_MOST_PARTS: Final = 96
"""A chunk of 640 KiB that comes in PDUs of 8 KiB has 81."""
_MOST_HELD: Final = 1.25
"""Bytes of memory for each byte that is kept: a chunk shares its first and last PDU with its neighbours."""
MOST_BLOCKS: Final = 16
"""Blocks of one event loop, 16 MiB: what slow peers hold beyond them is copied."""


class Block(bytearray):
    """Memory for what is read, which is overwritten only when no view refers to it."""

    __slots__ = ()

    @property
    def unused(self) -> bool:
        """Whether no view refers to it: a bytearray with views refuses to change its size."""
        try:
            last = self.pop()
        except BufferError:
            return False
        self.append(last)
        return True


def last_long(parts: Sequence[bytes | memoryview], size: int) -> bool:
    """Tell whether bytes may be kept as they are: they stay so, and are worth the memory that they keep from use.

    Args:
        size: of all parts together.
    """
    if size < _WORTH_KEEPING or len(parts) > _MOST_PARTS:
        return False
    held = 0
    before: object = None
    for part in parts:
        memory = part if isinstance(part, bytes) else part.obj
        if isinstance(memory, Block):  # blocks are few, whatever they hold
            held += len(part)
        elif isinstance(part, bytes) or part.readonly:
            if memory is not before:
                held += memoryview(memory).nbytes
        else:
            return False
        before = memory
    return held <= _MOST_HELD * size


class ReceiveBlocks:
    """Lends memory to one read after the other, of whichever socket of an event loop.

    Each read goes behind the one before, until the block is full or nothing refers to it. Small reads whose bytes are
    copied anyhow, as those of operations are, so use the same memory again and again.

    Args:
        read_size: bytes of one read at most.
        most: blocks. Each holds two of the largest reads.
    """

    __slots__ = ("_at", "_block", "_blocks", "_most", "_spare", "read_size")

    def __init__(self, *, read_size: int, most: int = MOST_BLOCKS) -> None:
        self.read_size = read_size
        """Bytes of one read at most."""
        self._most = most
        self._spare = bytearray(read_size)
        """Lent while every block is referred to."""
        self._blocks: list[Block] = []
        self._block: bytearray = self._spare
        self._at = 0
        """Where the next read goes."""

    def lend(self, size: int) -> memoryview:
        """Return where the next read, of at most `size` bytes, goes."""
        block = self._block
        if isinstance(block, Block) and block.unused:
            self._at = 0
        elif block is self._spare or len(block) - self._at < size:
            block = self._block = self._unused_block() or self._spare
            self._at = 0
        return memoryview(block)[self._at : self._at + size]

    def filled(self, size: int) -> memoryview:
        """Return the `size` bytes that were read to where `lend` said."""
        start, block = self._at, self._block
        if block is not self._spare:
            self._at += size
        return memoryview(block)[start : start + size]

    def _unused_block(self) -> Block | None:
        """Return the first block that nothing refers to, so that few are used while few are needed."""
        for block in self._blocks:
            if block.unused:
                return block
        if len(self._blocks) >= self._most:
            return None
        block = Block(2 * self.read_size)
        self._blocks.append(block)
        return block
