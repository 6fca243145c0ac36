"""What may happen to a durable route while clients store: one fault after the other, each when the last has healed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from tests.durable.apart import Sites
from tests.durable.archive import Archive
from tests.durable.books import Books
from tests.durable.scanner import SIZES, Scanner
from tests.fault.outage import outage
from tests.fault.relay import Relay

HEALED_WITHIN = 60.0
SHORTEST = 0.3
"""Seconds that servers, lines and the destination are gone at least."""


@dataclass(slots=True)
class Row:
    """What became of one kind of fault."""

    what: str
    times: int = 0
    broken: int = 0
    """Associations of clients that ended with it."""
    paused: list[float] = field(default_factory=list)
    """The longest time, in seconds, that a client waited from one acknowledgement to the next."""
    delivered: list[float] = field(default_factory=list)
    """Seconds from the fault until what every client had stored after it was at the destination."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault."""

    row: Row
    happen: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """What can break, and the clients that work all the time."""

    where: Sites
    archive: Archive
    target_link: Relay
    client_link: Relay
    books: Books
    scanners: tuple[Scanner, ...]


class Faults:
    """The faults, and what came of each kind."""

    def __init__(self, stage: Stage, dice: random.Random, *, longest: float) -> None:
        """Args:
        longest: seconds that servers, lines and the destination are gone at most.
        """
        self._stage = stage
        self._dice = dice
        self._longest = longest
        line = stage.where.line
        services = {
            "front-end": ("hospital", "association"),
            "C-STORE handler": ("hospital", "store"),
            "delivery service": ("cloud", "delivery"),
            "executor": ("cloud", "scu"),
        }
        servers = {"source zone": "hospital", "destination's zone": "hub"}
        causes: dict[str, Callable[[], None]] = {
            **{f"{name} killed": partial(self._kill, *which) for name, which in services.items()},
            **{
                f"nats-server of the {zone} killed": partial(self._restart, name)
                for zone, name in servers.items()
            },
            "line between the zones cut": partial(self._away, line.cut, line.heal),
            "line between the zones silent": partial(self._away, line.freeze, line.heal),
            "destination killed": partial(self._away, stage.archive.kill, stage.archive.start),
            "destination's link reset": partial(self._reset, stage.target_link),
            "clients' link reset": partial(self._reset, stage.client_link),
        }
        self._faults = [Fault(Row(what), happen) for what, happen in causes.items()]

    @property
    def rows(self) -> list[Row]:
        """What became of each kind."""
        return [fault.row for fault in self._faults]

    def some(self, count: int) -> Iterator[Row]:
        """Try so many: each kind once, then any."""
        chosen = self._dice.sample(self._faults, min(count, len(self._faults)))
        chosen += self._dice.choices(self._faults, k=count - len(chosen))
        for fault in chosen:
            time.sleep(self._dice.uniform(0.05, 0.5))  # the moment is chance
            row = fault.row
            broken = self._broken()
            began = time.monotonic()
            fault.happen()
            self.heal(row, began)
            row.times += 1
            row.broken += self._broken() - broken
            yield row

    def heal(self, row: Row, began: float) -> None:
        """Return when every client has stored something after this call, and that has arrived."""
        books = self._stage.books
        counts = books.counts()
        since = {scanner.calling: counts.get(scanner.calling, 0) for scanner in self._stage.scanners}
        fresh = books.wait_for_more(since, timeout=HEALED_WITHIN)
        row.paused.append(books.longest_pause(began))
        books.wait_for_arrival(set(fresh.values()), timeout=HEALED_WITHIN)
        row.delivered.append(time.monotonic() - began)

    def _broken(self) -> int:
        return sum(scanner.broken for scanner in self._stage.scanners)

    def _kill(self, zone: str, service: str) -> None:
        services = self._stage.where.services
        (victim,) = services.of(service, zone)
        services.kill(victim)
        services.start(zone, service)

    def _restart(self, name: str) -> None:
        server = self._stage.where.servers[name]
        self._away(server.kill, server.start)

    def _away(self, breaks: Callable[[], None], heals: Callable[[], None]) -> None:
        outage(breaks, heals, seconds=self._dice.uniform(SHORTEST, self._longest))

    def _reset(self, link: Relay) -> None:
        assert link.reset_after(self._dice.randrange(1, max(SIZES))).wait(HEALED_WITHIN), "nothing passes"
