"""The data set of the message that a durable session has taken, fragment by fragment as its client sends it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

LONGEST_REQUEST = 1 << 20
"""Bytes of a data set that is read into memory: the list of a request for storage commitment."""

Piece = tuple[bytes, bool]
"""A fragment of a data set, and whether it is the last one."""


class Ended(Exception):
    """The association is over; the code says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class IncomingDataSet:
    """Every method raises `Ended` when the association ends before the last fragment has come.

    Args:
        piece: waits for the next fragment.
    """

    def __init__(self, piece: Callable[[], Awaitable[Piece]]) -> None:
        self._piece = piece
        self._is_open = False

    def begin(self, *, is_there: bool) -> None:
        """Note that the message has come which the next data set is of, and whether it has one."""
        self._is_open = is_there

    async def next(self) -> bytes | None:
        """Return the next fragment; None: there is none any more."""
        if not self._is_open:
            return None
        fragment, last = await self._piece()
        self._is_open = not last
        return fragment

    async def skip(self) -> None:
        """Let pass what is left of it."""
        while await self.next() is not None:
            pass

    async def whole(self) -> bytes | None:
        """Return all of it; None: there is none, or it is longer than `LONGEST_REQUEST`."""
        pieces: list[bytes] = []
        size = 0
        while (fragment := await self.next()) is not None:
            size += len(fragment)
            if size <= LONGEST_REQUEST:
                pieces.append(fragment)
        return b"".join(pieces) if 0 < size <= LONGEST_REQUEST else None
