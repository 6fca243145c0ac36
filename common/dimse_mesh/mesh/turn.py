"""A turn: one read of a socket, and everything that is written because of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from dimse_mesh.mesh.errors import report


class Turn:
    """What the sockets of one event loop share: while a read is dealt with, they keep what they are given to write.

    At the end of the turn each socket writes all of it in one system call, and the other end is woken once
    (docs/adr/0008-one-write-a-turn.md).

        idle        with             -> under way
        under way   at_end(ending)   -> under way; the ending is remembered
        under way   the block ends   -> idle, after every ending has run, in order
    """

    __slots__ = ("_endings", "under_way")

    def __init__(self) -> None:
        self._endings: list[Callable[[], None]] = []
        self.under_way = False
        """Whether a read is being dealt with: then a socket that has something to write registers with `at_end`."""

    def __enter__(self) -> None:
        self.under_way = True

    def at_end(self, ending: Callable[[], None]) -> None:
        """Call `ending` at the end of this turn. It may register others; what it raises is logged."""
        self._endings.append(ending)

    def __exit__(self, *_: object) -> None:
        for ending in self._endings:
            try:
                ending()
            except Exception as exc:  # noqa: BLE001 - what the other sockets keep must leave
                report("the end of a turn", exc)
        self._endings.clear()
        self.under_way = False


class TurnWriter:
    """Writes to one transport: at once, or at the end of the turn, without a copy.

    Args:
        transport: who gets it.
        turn: of its event loop.
        on_flushed: called when what was kept in a turn was handed over.
    """

    __slots__ = ("_kept", "_on_flushed", "_transport", "_turn", "size")

    def __init__(
        self, transport: asyncio.WriteTransport, turn: Turn, on_flushed: Callable[[], None] | None = None
    ) -> None:
        self._transport = transport
        self._turn = turn
        self._on_flushed = on_flushed
        self._kept: list[bytes | memoryview] = []
        self.size = 0
        """Bytes kept, as `write` was told."""

    @property
    def backlog(self) -> int:
        """Bytes that the socket has not taken: those kept, and those in the transport's buffer."""
        return self.size + self._transport.get_write_buffer_size()

    def write(self, parts: Iterable[bytes | memoryview], size: int) -> bool:
        """Take `parts`, which must not change, in order; False: the transport is closing, and takes nothing."""
        if self._transport.is_closing():  # uvloop's raises
            return False
        if not self._turn.under_way:
            self._transport.writelines(parts)
            return True
        if not self._kept:
            self._turn.at_end(self.flush)
        self._kept.extend(parts)
        self.size += size
        return True

    def flush(self) -> None:
        """Hand over what is kept."""
        kept, self._kept, self.size = self._kept, [], 0
        if kept and not self._transport.is_closing():
            self._transport.writelines(kept)
            if self._on_flushed is not None:
                self._on_flushed()
