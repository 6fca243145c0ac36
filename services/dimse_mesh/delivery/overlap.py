"""Which reads of a queue are under way at once: over a long line the next one is asked for before the last has come.

A read says where it begins and how many messages it may bring. Where it will end is known beforehand only of objects
whose storing was heard of: nats-server says it of each. What was heard is a hint, for it may be lost: a read counts
only if it begins where the one before it has ended, and else it is given up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from dimse_mesh.mesh import number_in
from dimse_mesh.schemas.spool_subjects import RoutePriority, priority_in

LONG = 0.02
"""Seconds: reads that take longer overlap, and two of them are at least so far apart."""
MOST_HEARD = 1024
"""Objects that are known to be stored, and weren't asked for."""


@dataclass(frozen=True, slots=True)
class StoredNotice:
    """What is heard when an object was stored.

    Attributes:
        priority: None: it isn't known.
        sequence: of its message; 0: it isn't known.
        size: bytes of that message.
    """

    priority: RoutePriority | None = None
    sequence: int = 0
    size: int = 0

    @classmethod
    def of(cls, headers: Mapping[str, str] | None) -> StoredNotice:
        """Return what nats-server says when it gives the headers of a stored message out again."""
        if headers is None:
            return cls()
        return cls(
            priority_in(headers.get("Nats-Subject", "")),
            number_in(headers, "Nats-Sequence"),
            number_in(headers, "Nats-Msg-Size"),
        )


@dataclass(frozen=True, slots=True)
class _ReadUnderWay:
    first: int
    count: int
    size: int


class OverlappingReads:
    """The reads of one scan, each by the sequence number where it begins. Pure."""

    def __init__(self) -> None:
        self._heard: deque[tuple[int, int]] = deque(maxlen=MOST_HEARD)
        """Sequence number and size of stored objects that weren't asked for."""
        self._asked: deque[_ReadUnderWay] = deque()
        """The reads under way, the oldest first."""
        self._next: int | None = None
        """Where the next one would begin; None: that isn't known, or none is under way."""
        self._is_long = False
        self._has_caught_up = False
        """Whether all that stood behind the last read was heard of."""
        self._last_at = float("-inf")

    def hear(self, notice: StoredNotice) -> None:
        """Note that an object was stored."""
        if notice.sequence:
            self._heard.append((notice.sequence, notice.size))

    def begin(self, first: int, now: float, *, most: int) -> int:
        """Note that a read is waited for, which may be under way; return how many messages it may bring.

        Args:
            now: in seconds; of a clock that `further` goes by, too.
            most: messages that there is room for.
        """
        if self._asked:
            return self._asked[0].count
        self._last_at = now
        count = most
        if self._is_long and self._has_caught_up:
            count = self._take(first, most=most, most_bytes=None).count or most
        self._asked.append(_ReadUnderWay(first, count, 0))
        return count

    def wait(self, now: float) -> float | None:
        """Return the seconds until a further read may be asked for; None: none is to be."""
        if self._next is None or not self._heard:
            return None
        return max(0.0, self._last_at + LONG - now)

    def further(self, now: float, *, most: int, most_bytes: int) -> tuple[int, int] | None:
        """Note that a further read is asked for; return where it begins, and how many messages it may bring.

        None: none is to be.

        Args:
            most, most_bytes: messages, and bytes of them, that there is room for beside what was read.
        """
        if self._next is None:
            return None
        most -= sum(asked.count for asked in self._asked)
        most_bytes -= sum(asked.size for asked in self._asked)
        asked = self._take(self._next, most=most, most_bytes=most_bytes)
        if not asked.count:
            return None
        self._asked.append(asked)
        self._last_at = now
        return asked.first, asked.count

    def _take(self, first: int, *, most: int, most_bytes: int | None) -> _ReadUnderWay:
        """Take what was heard of from a sequence number on, as far as there is room, for one read."""
        count, size, last = 0, 0, 0
        while self._heard:
            sequence, its = self._heard[0]
            if sequence >= first:
                if count == most or (most_bytes is not None and size + its > most_bytes):
                    break
                count, size, last = count + 1, size + its, max(last, sequence)
            self._heard.popleft()
        if count:
            self._next = last + 1
        return _ReadUnderWay(first, count, size)

    def came(self, read_to: int, pending: int, took: float | None) -> list[int]:
        """Note that the oldest read has come; return where reads begin that are given up.

        Args:
            read_to: the sequence number that the next one begins with.
            pending: messages that stood behind it.
            took: seconds until it came; None: it wasn't waited for from the beginning.
        """
        if took is not None:
            self._is_long = took >= LONG
        if self._asked:
            self._asked.popleft()
        while self._heard and self._heard[0][0] < read_to:
            self._heard.popleft()
        known = len(self._heard) + sum(asked.count for asked in self._asked)
        self._has_caught_up = pending <= known
        if self._asked and self._asked[0].first == read_to:
            return []
        return self.forget()

    def forget(self) -> list[int]:
        """Give all reads up; return where they begin."""
        given_up = [asked.first for asked in self._asked]
        self._asked.clear()
        self._next = None
        return given_up
