"""What clients tried and what the target saw: the books that must balance whatever was killed."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.support.stalls import Stalls


@dataclass(slots=True)
class Book:
    """Both sides' account of one service, by the UID that tells one operation from another."""

    attempts: Counter[str] = field(default_factory=Counter)
    """What a requester began."""
    acknowledged: set[str] = field(default_factory=set)
    performed: Counter[str] = field(default_factory=Counter)
    """What the performer got, whole."""
    damaged: list[str] = field(default_factory=list)

    @property
    def lost(self) -> list[str]:
        """Operations acknowledged to the requester that the performer never got."""
        return [uid for uid in self.acknowledged if uid not in self.performed]

    @property
    def duplicated(self) -> list[str]:
        """Operations that the performer got more often than the requester sent them."""
        return [uid for uid, times in self.performed.items() if times > self.attempts[uid]]


class Tally(NamedTuple):
    """How many operations ended otherwise than they should."""

    aborted: int = 0
    failed: int = 0
    duplicated: int = 0
    lost: int = 0

    def since(self, before: Tally) -> Tally:
        """Return what has come to this since `before`."""
        return Tally(*(now - then for now, then in zip(self, before, strict=True)))

    def plus(self, more: Tally) -> Tally:
        """Return the sums of both."""
        return Tally(*map(sum, zip(self, more, strict=True)))


@dataclass(slots=True)
class Ledger:
    """The books, and what happened to operations and associations. Thread-safe by its lock."""

    books: defaultdict[str, Book] = field(default_factory=lambda: defaultdict(Book))
    """By service."""
    tried: Counter[str] = field(default_factory=Counter)
    """Operations by service."""
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    turned_away: Counter[str] = field(default_factory=Counter)
    """Associations that were not opened, and why; the client came again."""
    aborted: Counter[str] = field(default_factory=Counter)
    """Operations in flight on an association that was aborted: its client knows that they failed."""
    in_flight: Counter[str] = field(default_factory=Counter)
    """Operations of clients, by service."""
    fresh: dict[int, float] = field(default_factory=dict)
    """When the last study that a client has finished began."""
    slowest: float = 0.0
    """Seconds that the slowest operation took."""
    stalls: Stalls | None = None
    """What is no time of an operation."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def sent(self, service: str, uid: str = "") -> None:
        """Note that somebody begins an operation."""
        with self.lock:
            self.tried[service] += 1
            if uid:
                self.books[service].attempts[uid] += 1

    def answered(self, service: str, uid: str = "") -> None:
        """Note that an operation was answered with success."""
        with self.lock:
            self.done[service] += 1
            if uid:
                self.books[service].acknowledged.add(uid)

    def begin(self, service: str, uid: str = "") -> float:
        """Note that a client begins an operation; return when."""
        self.sent(service, uid)
        with self.lock:
            self.in_flight[service] += 1
        return time.monotonic()

    def succeeded(self, service: str, began: float, uid: str = "") -> None:
        """Note that a client's operation was answered with success."""
        self.answered(service, uid)
        with self.lock:
            self.in_flight[service] -= 1
            took = time.monotonic() - began if self.stalls is None else self.stalls.moved(began)
            self.slowest = max(self.slowest, took)

    def failed(self, what: str, *, service: str = "") -> None:
        """Note a failure; `service`: of a client's operation that was in flight."""
        with self.lock:
            self.failures.append(what)
            if service:
                self.in_flight[service] -= 1

    def was_aborted(self, service: str) -> None:
        """Note that an association ended under an operation."""
        with self.lock:
            self.aborted[service] += 1
            self.in_flight[service] -= 1

    def finished(self, client: int, began: float) -> None:
        """Note that a client has finished a study."""
        with self.lock:
            self.fresh[client] = began

    def away(self, why: str) -> None:
        """Note that an association was refused, and will be asked for again."""
        with self.lock:
            self.turned_away[why] += 1

    def received(self, service: str, uid: str, *, whole: bool = True) -> None:
        """Note that the performer got an operation, and whether its data set is as it was sent."""
        with self.lock:
            self.books[service].performed[uid] += 1
            if not whole:
                self.books[service].damaged.append(uid)

    @property
    def lost(self) -> list[str]:
        """What is lost, of every service."""
        return [f"{service} {uid}" for service, book in self.books.items() for uid in book.lost]

    @property
    def duplicated(self) -> list[str]:
        """What was done more than once, of every service."""
        return [f"{service} {uid}" for service, book in self.books.items() for uid in book.duplicated]

    @property
    def damaged(self) -> list[str]:
        """What arrived otherwise than it was sent, of every service."""
        return [f"{service} {uid}" for service, book in self.books.items() for uid in book.damaged]

    def tally(self) -> Tally:
        """Return what has ended otherwise than it should, so far."""
        with self.lock:
            return Tally(self.aborted.total(), len(self.failures), len(self.duplicated), len(self.lost))

    def check_books(self) -> None:
        """Assert that nothing was lost, duplicated or damaged."""
        assert not self.lost, f"lost: {self.lost[:3]} ({len(self.lost)})"
        assert not self.duplicated, f"duplicated: {self.duplicated[:3]} ({len(self.duplicated)})"
        assert not self.damaged, f"damaged: {self.damaged[:3]}"

    def check(self, *, failures: int = 0) -> None:
        """Assert that nothing was lost, duplicated, damaged or aborted, and no more than `failures` failed."""
        self.check_books()
        assert not self.aborted, f"aborted: {self.aborted}"
        assert len(self.failures) <= failures, f"{len(self.failures)} failed: {Counter(self.failures)}"
