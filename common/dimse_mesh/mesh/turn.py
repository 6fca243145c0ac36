"""A turn: one read of a socket, and everything that is written because of it."""

from __future__ import annotations

from collections.abc import Callable

from dimse_mesh.mesh.errors import report


class Turn:
    """What the sockets of one event loop share: it tells them to keep what they are given until a read is dealt with.

    So each gets all of it in one system call, and its peer is woken once (docs/adr/0008-one-write-a-turn.md).

        idle        begin            -> under way
        under way   at_end(ending)   -> under way; the ending is remembered
        under way   end              -> idle, after every ending has run, in order
    """

    __slots__ = ("_endings", "under_way")

    def __init__(self) -> None:
        self._endings: list[Callable[[], None]] = []
        self.under_way = False
        """Whether a read is being dealt with: who has something to write registers with `at_end`, and writes then."""

    def begin(self) -> None:
        """Begin to deal with a read."""
        self.under_way = True

    def at_end(self, ending: Callable[[], None]) -> None:
        """Call `ending` at the end of this turn. It may register others; what it raises is logged."""
        self._endings.append(ending)

    def end(self) -> None:
        """Run what was registered."""
        for ending in self._endings:
            try:
                ending()
            except Exception as exc:  # noqa: BLE001 - what the other sockets keep must leave
                report("the end of a turn", exc)
        self._endings.clear()
        self.under_way = False
