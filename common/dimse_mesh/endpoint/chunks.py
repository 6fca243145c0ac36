"""Gather a data set's fragments, as PDUs bring them, into chunks of the size that NATS carries cheapest."""

from __future__ import annotations

from collections.abc import Iterator

from dimse_mesh.mesh import last_long

_SMALL = 32 * 1024
"""A part that is shorter is joined with what the next read brings."""


class ChunkGatherer:
    """Fragments in, chunks of exactly `chunk_size` bytes out (the last one shorter), until `resize`.

    Fragments are views of what was read, and the next read may overwrite them: call `keep` before returning to the
    event loop. What completes a chunk within the same read is never copied here.
    """

    __slots__ = ("_following", "_kept", "_parts", "_size", "chunk_size")

    def __init__(self, chunk_size: int) -> None:
        self.chunk_size = self._following = chunk_size
        self._parts: list[bytes | memoryview] = []
        self._size = 0
        self._kept = 0
        """Parts that stay as they are."""

    @property
    def size(self) -> int:
        """Bytes gathered."""
        return self._size

    def resize(self, chunk_size: int) -> None:
        """Make chunks of another size: the next one that is begun is the first."""
        self._following = chunk_size
        if not self._size:
            self.chunk_size = chunk_size

    def add(self, fragment: memoryview) -> Iterator[list[bytes | memoryview]]:
        """Take in a fragment; yield the parts of each chunk that is now full and certainly not the last."""
        while self._size + len(fragment) > self.chunk_size:
            room = self.chunk_size - self._size
            if room:
                self._parts.append(fragment[:room])
                fragment = fragment[room:]
            yield self.take()
        if fragment:
            self._parts.append(fragment)
            self._size += len(fragment)

    def take(self) -> list[bytes | memoryview]:
        """Return the parts gathered so far and start anew."""
        parts, self._parts, self._size, self._kept = self._parts, [], 0, 0
        self.chunk_size = self._following
        return parts

    def keep(self) -> None:
        """Copy what this read has brought, if the next one may overwrite it, or if it is little or in many pieces."""
        parts, kept = self._parts, self._kept
        new = parts[kept:]
        if new and not last_long(new, sum(map(len, new))):
            if kept and len(parts[kept - 1]) < _SMALL:
                kept -= 1
            parts[kept:] = [b"".join(parts[kept:])]
        self._kept = len(parts)
