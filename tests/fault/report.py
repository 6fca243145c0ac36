"""What a soak found: the tables of docs/reliability.md, and whether the books balance."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field

from tests.fault.conftest import Ground
from tests.fault.ledger import Ledger, Tally
from tests.support.process import open_files, resident_bytes

HEALED_WITHIN = 30.0
CLOSED_WITHIN = 5.0
"""Seconds that the last associations may take to close."""
Footprint = dict[str, tuple[float, float]]
"""Resident MB and open files of a process, by service."""


@dataclass(slots=True)
class Row:
    """What became of one kind of fault."""

    what: str
    aborts: bool = False
    """Whether the associations of the victim end, so that their operations fail."""
    times: int = 0
    in_flight: int = 0
    ended: Tally = field(default_factory=Tally)
    recovery: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What a soak found."""

    rows: list[Row]
    ledger: Ledger
    before: Footprint
    after: Footprint
    seconds: float

    def __str__(self) -> str:
        """Return everything, as docs/reliability.md has it."""
        return "\n\n".join((self.table(), self.books(), self.costs()))

    def table(self) -> str:
        """Return what was broken, and what came of it, as Markdown."""
        lines = [
            "| fault, under C-STORE, C-FIND, C-GET, C-MOVE, C-ECHO and N-* | times | in flight | aborted | failed "
            "| duplicated | lost | recovery, median and longest |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row.what} | {row.times} | {row.in_flight} | {' | '.join(map(str, row.ended))} "
            f"| {statistics.median(row.recovery):.1f} s, {max(row.recovery):.1f} s |"
            for row in self.rows
            if row.recovery
        ]
        return "\n".join(lines)

    def books(self) -> str:
        """Return the books as Markdown."""
        ledger = self.ledger
        lines = [
            f"In {self.seconds:.0f} s: {ledger.tried.total()} operations tried, {ledger.done.total()} acknowledged, "
            f"{ledger.aborted.total()} aborted with their association, {len(ledger.failures)} failed.",
            "",
            "| operation | tried | acknowledged | verified at the performer | duplicated | lost | damaged |",
            "|---|---|---|---|---|---|---|",
        ]
        for service in sorted(ledger.tried):
            counts = f"| {service} | {ledger.tried[service]} | {ledger.done[service]} |"
            if service in ledger.books:
                book = ledger.books[service]
                verified = len((book.acknowledged & book.performed.keys()) - set(book.damaged))
                counts += f" {verified} | {len(book.duplicated)} | {len(book.lost)} | {len(book.damaged)} |"
            else:
                counts += " | | | |"
            lines.append(counts)
        return "\n".join(lines)

    def costs(self) -> str:
        """Return what the processes held before and after as Markdown."""
        lines = ["| process | MB resident before, after | open files before, after |", "|---|---|---|"]
        for name, (memory, files) in self.before.items():
            memory_after, files_after = self.after[name]
            lines.append(f"| {name} | {memory:.0f}, {memory_after:.0f} | {files:.0f}, {files_after:.0f} |")
        return "\n".join(lines)

    def check(self) -> None:
        """Assert that only associations whose endpoint was killed ended, and that nothing else happened."""
        ledger = self.ledger
        ledger.check_books()
        assert not ledger.failures, ledger.failures[:5]
        wrong = {row.what: row.ended.aborted for row in self.rows if row.ended.aborted and not row.aborts}
        assert not wrong, f"aborted by what should only delay: {wrong}"
        slow = {
            row.what: max(row.recovery)
            for row in self.rows
            if row.recovery and max(row.recovery) >= HEALED_WITHIN
        }
        assert not slow, f"not healed: {slow}"
        idle = [service for service in ledger.tried if not ledger.done[service]]
        assert ledger.tried, "nothing was tried"
        assert not idle, f"never acknowledged: {idle}"


def footprint(where: Ground) -> Footprint:
    """Return what a process of each service, and a nats-server, holds on average."""
    found = {}
    for service in dict.fromkeys(instance.service for instance in where.fleet.instances):
        instances = where.fleet.of(service)
        for instance in instances:
            instance.wait_ready()
        found[service] = _average([instance.pid for instance in instances])
    found["nats-server"] = _average([server.pid for server in where.servers])
    return found


def footprint_after(where: Ground, before: Footprint) -> Footprint:
    """Return the same as soon as no more files are open than before; after `CLOSED_WITHIN`, whatever there is."""
    end = time.monotonic() + CLOSED_WITHIN
    while True:
        found = footprint(where)
        if all(found[name][1] <= before[name][1] for name in before) or time.monotonic() > end:
            return found
        time.sleep(0.05)


def _average(pids: list[int]) -> tuple[float, float]:
    return (
        statistics.mean(map(resident_bytes, pids)) / 1e6,
        statistics.mean(map(open_files, pids)),
    )
