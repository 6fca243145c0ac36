"""What clients were told is safe, what the destination got, and whether the two agree."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise


def digest(data: bytes) -> bytes:
    """Return what an object's data set is recognised by."""
    return hashlib.sha256(data).digest()


@dataclass(frozen=True, slots=True)
class Balance:
    """What the books say; SOP instance UIDs."""

    acknowledged: int
    lost: list[str]
    """Acknowledged, and not at the destination."""
    damaged: list[str]
    """At the destination, at least once, with other bytes than the client has."""
    disordered: list[str]
    """Clients whose objects did not arrive in the order in which they were acknowledged."""
    again: int
    """Objects that arrived more than once, identical each time."""

    def check(self) -> None:
        """Assert that nothing is lost, damaged or out of order."""
        assert self.acknowledged, "nothing was stored"
        assert not self.lost, f"{len(self.lost)} lost: {self.lost[:5]}"
        assert not self.damaged, f"{len(self.damaged)} damaged: {self.damaged[:5]}"
        assert not self.disordered, f"out of order: {self.disordered}"


@dataclass(slots=True)
class Books:
    """Each client's objects by calling AE title, in order. Data sets are kept as digests."""

    sent: dict[str, bytes] = field(default_factory=dict)
    """What each object is, by SOP instance UID; written before it is sent."""
    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    arrived: dict[str, list[str]] = field(default_factory=dict)
    """Every arrival, repetitions too."""
    answers: dict[str, list[float]] = field(default_factory=dict)
    """When (monotonic) each of the acknowledgements came."""
    _there: set[str] = field(default_factory=set)
    _damaged: list[str] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def send(self, instance: str, data: bytes) -> None:
        """Note what is about to be sent."""
        self.sent[instance] = digest(data)

    def acknowledge(self, calling: str, instance: str) -> None:
        """Note that a client was told that an object is safe."""
        with self._changed:
            self.acknowledged.setdefault(calling, []).append(instance)
            self.answers.setdefault(calling, []).append(time.monotonic())
            self._changed.notify_all()

    def arrive(self, calling: str, instance: str, got: bytes) -> None:
        """Note that the destination has a whole object with that digest."""
        with self._changed:
            self.arrived.setdefault(calling, []).append(instance)
            self._there.add(instance)
            if got != self.sent.get(instance):
                self._damaged.append(instance)
            self._changed.notify_all()

    def counts(self) -> dict[str, int]:
        """Return how many objects of each client were acknowledged."""
        with self._changed:
            return {calling: len(instances) for calling, instances in self.acknowledged.items()}

    def wait(self, condition: Callable[[], bool], what: str, *, timeout: float) -> None:
        """Return as soon as a condition on the books holds."""
        with self._changed:
            assert self._changed.wait_for(condition, timeout), f"after {timeout:g} s still waiting: {what}"

    def wait_for_more(self, before: dict[str, int], *, timeout: float) -> dict[str, str]:
        """Return an object of each client that was acknowledged since its count was `before`."""
        self.wait(
            lambda: all(len(self.acknowledged.get(calling, ())) > count for calling, count in before.items()),
            "every client stores again",
            timeout=timeout,
        )
        with self._changed:
            return {calling: self.acknowledged[calling][count] for calling, count in before.items()}

    def wait_for_arrival(self, instances: set[str], *, timeout: float) -> None:
        """Return when the destination has all of these."""
        self.wait(lambda: instances <= self._there, "what was acknowledged arrives", timeout=timeout)

    def longest_pause(self, since: float) -> float:
        """Return the longest time that a client has waited from one acknowledgement to the next, up to the last."""
        with self._changed:
            pauses = (
                later - earlier
                for moments in self.answers.values()
                for earlier, later in pairwise(moments)
                if later > since
            )
            return max(pauses, default=0.0)  # a client that has stored one object only has not paused

    def everything(self) -> set[str]:
        """Return all that any client was told is safe."""
        with self._changed:
            return {instance for instances in self.acknowledged.values() for instance in instances}

    def balance(self) -> Balance:
        """Compare."""
        with self._changed:
            lost, disordered = [], []
            for calling, safe in self.acknowledged.items():
                first = {
                    uid: place for place, uid in reversed(list(enumerate(self.arrived.get(calling, ()))))
                }
                lost += [uid for uid in safe if uid not in first]
                places = [first[uid] for uid in safe if uid in first]
                if places != sorted(places):
                    disordered.append(calling)
            repeated = Counter(uid for arrivals in self.arrived.values() for uid in arrivals)
            return Balance(
                acknowledged=sum(map(len, self.acknowledged.values())),
                lost=lost,
                damaged=list(self._damaged),
                disordered=disordered,
                again=sum(count > 1 for count in repeated.values()),
            )
