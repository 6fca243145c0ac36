"""What clients tried and what the target saw: the books that must balance whatever was killed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Ledger:
    """Both sides' books. Thread-safe by its lock."""

    attempts: Counter[str] = field(default_factory=Counter)
    """C-STOREs that a client began, by SOP instance UID."""
    acknowledged: set[str] = field(default_factory=set)
    stored: Counter[str] = field(default_factory=Counter)
    """C-STOREs that the target received whole."""
    damaged: list[str] = field(default_factory=list)
    tried: Counter[str] = field(default_factory=Counter)
    """Operations by service."""
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    turned_away: Counter[str] = field(default_factory=Counter)
    """Associations that were not opened, and why; the client came again."""
    aborted: Counter[str] = field(default_factory=Counter)
    """Operations in flight on an association that was aborted: its client knows that they failed."""
    in_flight: int = 0
    fresh: dict[int, float] = field(default_factory=dict)
    """When the last study that a client has finished began."""
    slowest: float = 0.0
    """Seconds that the slowest operation took."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, service: str, uid: str = "") -> float:
        """Note that an operation begins; return when."""
        with self.lock:
            self.tried[service] += 1
            self.in_flight += 1
            if uid:
                self.attempts[uid] += 1
        return time.monotonic()

    def succeeded(self, service: str, began: float, uid: str = "") -> None:
        """Note that an operation was answered with success."""
        with self.lock:
            self.done[service] += 1
            self.in_flight -= 1
            self.slowest = max(self.slowest, time.monotonic() - began)
            if uid:
                self.acknowledged.add(uid)

    def failed(self, what: str, *, operation: bool = False) -> None:
        """Note a failure; `operation`: of one that was in flight."""
        with self.lock:
            self.failures.append(what)
            self.in_flight -= operation

    def was_aborted(self, what: str) -> None:
        """Note that an association ended under an operation."""
        with self.lock:
            self.aborted[what] += 1
            self.in_flight -= 1

    def finished(self, client: int, began: float) -> None:
        """Note that a client has finished a study."""
        with self.lock:
            self.fresh[client] = began

    def away(self, why: str) -> None:
        """Note that an association was refused, and will be asked for again."""
        with self.lock:
            self.turned_away[why] += 1

    def received(self, uid: str, *, whole: bool) -> None:
        """Note that the target got an instance, and whether it is as it was sent."""
        with self.lock:
            self.stored[uid] += 1
            if not whole:
                self.damaged.append(uid)

    @property
    def lost(self) -> list[str]:
        """Instances acknowledged to a client that the target never got."""
        return [uid for uid in self.acknowledged if uid not in self.stored]

    @property
    def duplicated(self) -> list[str]:
        """Instances that the target got more often than a client sent them."""
        return [uid for uid, times in self.stored.items() if times > self.attempts[uid]]

    def check(self, *, failures: int = 0) -> None:
        """Assert that nothing was lost, duplicated or damaged, and no more than `failures` failed."""
        assert not self.lost, f"lost: {self.lost[:3]} ({len(self.lost)})"
        assert not self.duplicated, f"duplicated: {self.duplicated[:3]} ({len(self.duplicated)})"
        assert not self.damaged, f"damaged: {self.damaged[:3]}"
        assert not self.aborted, f"aborted: {self.aborted}"
        assert len(self.failures) <= failures, f"{len(self.failures)} failed: {Counter(self.failures)}"
