"""Minutes of mixed load with random faults: `python -m tests.fault.soak`. Prints the table of docs/reliability.md.

Two zones, each with a nats-server of its own and a leaf link between them; two instances of each service. Clients
store, find, retrieve and verify; the target keeps books of what it received. One fault after the other, each when the
one before has healed.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.fault.archive import CONTEXTS, GET_ROLES, STORE, archive
from tests.fault.clients import ask_find, ask_get, at_work, echo_study, find_study, get_study, store_study
from tests.fault.conftest import TARGET, Ground, each, split_ground
from tests.fault.content import instance_uid, pieces
from tests.fault.fleet import Instance
from tests.fault.ledger import Ledger
from tests.fault.relay import Relay
from tests.support.scripted import Client
from tests.support.wire import pdu, pdv, store_rq

CLIENTS = 4
OUTAGE = 1.0
STOPPED = 2.0
HEALED_WITHIN = 30.0
SERVICES = (
    *each("association", 2),
    *each("store", 2),
    *each("query-retrieve", 2),
    *each("scu", 2, "cloud"),
)
STUDIES = (
    store_study(),
    store_study((8_000,) * 10),
    store_study((5_000_000,)),
    find_study(1000),
    get_study(),
    echo_study(),
)
MIB = 1 << 20


@dataclass(slots=True)
class Row:
    """What became of one kind of fault."""

    what: str
    aborts: bool
    """Whether the associations of the victim end, so that their operations fail."""
    times: int = 0
    in_flight: int = 0
    aborted: int = 0
    failed: int = 0
    recovery: list[float] = field(default_factory=list)


class Soak:
    """The faults, and the books of each kind."""

    def __init__(self, where: Ground, relay: Relay, ledger: Ledger, dice: random.Random) -> None:
        self._where = where
        self.relay = relay
        self._ledger = ledger
        self._dice = dice
        self._carried = 0
        self.faults: list[tuple[Row, Callable[[], None]]] = [
            (Row("handler killed, of two", aborts=False), self._kill_handler),
            (Row(f"handler stopped for {STOPPED:g} s, of two", aborts=False), self._stop_handler),
            (Row("front-end killed, of two", aborts=True), lambda: self._kill("association")),
            (Row("executor killed, of two", aborts=True), lambda: self._kill("scu")),
            (Row(f"a zone's nats-server killed for {OUTAGE:g} s", aborts=False), self._restart_nats),
            (Row(f"leaf link cut for {OUTAGE:g} s", aborts=False), self._cut),
            (Row(f"leaf link silent for {OUTAGE:g} s", aborts=False), self._freeze),
            (Row("instance of any service drained", aborts=False), self._drain),
        ]

    def only(self, words: str) -> None:
        """Leave out the faults whose name doesn't hold `words`."""
        self.faults = [(row, fault) for row, fault in self.faults if words in row.what]

    def round(self) -> Iterator[Row]:
        """Try each kind of fault once, in any order."""
        for row, fault in self._dice.sample(self.faults, len(self.faults)):
            time.sleep(self._dice.uniform(0.05, 0.5))
            ledger = self._ledger
            self._wait_for_traffic()
            before = (ledger.aborted.total(), len(ledger.failures))
            row.in_flight += ledger.in_flight
            row.times += 1
            began = time.monotonic()
            fault()
            row.recovery.append(self._healed(began, over=time.monotonic()))
            row.aborted += ledger.aborted.total() - before[0]
            row.failed += len(ledger.failures) - before[1]
            yield row

    def _wait_for_traffic(self) -> None:
        """Return at a moment when operations are in flight."""
        end = time.monotonic() + 1
        while self._ledger.in_flight < 2 and time.monotonic() < end:
            time.sleep(0.001)

    def _healed(self, began: float, *, over: float) -> float:
        """Wait until each client has finished a study that it began after the fault was over; return how long it took.

        So the next fault doesn't hit what this one has left.
        """
        end = began + HEALED_WITHIN
        while time.monotonic() < end:
            fresh = dict(self._ledger.fresh)
            if len(fresh) == CLIENTS and min(fresh.values()) > over:
                break
            time.sleep(0.01)
        return time.monotonic() - began

    def _replace(self, service: str, end: Callable[[Instance], object]) -> None:
        victim = self._dice.choice(self._where.fleet.of(service))
        end(victim)
        # Its successor starts while the other one carries on.
        self._where.fleet.start(victim.zone, victim.service, wait=False)
        threading.Thread(target=self._where.fleet.instances[-1].wait_ready, daemon=True).start()

    def _kill(self, service: str) -> None:
        self._wait_for_both(service)
        self._replace(service, self._where.fleet.kill)

    def _wait_for_both(self, service: str) -> None:
        for instance in self._where.fleet.of(service):
            instance.wait_ready()

    def _kill_handler(self) -> None:
        self._kill(self._dice.choice(("store", "query-retrieve")))

    def _stop_handler(self) -> None:
        service = self._dice.choice(("store", "query-retrieve"))
        self._wait_for_both(service)
        victim = self._dice.choice(self._where.fleet.of(service))
        victim.pause()
        time.sleep(STOPPED)
        victim.resume()

    def _restart_nats(self) -> None:
        server = self._dice.choice(self._where.servers)
        server.kill()
        time.sleep(OUTAGE)
        server.start()

    def _check_relay(self) -> None:
        """Make sure that what is about to be broken carries the load: servers may know other ways."""
        assert self.relay.carried > self._carried, "the leaf link does not pass through the relay"
        self._carried = self.relay.carried

    def _cut(self) -> None:
        self._check_relay()
        self.relay.cut()
        time.sleep(OUTAGE)
        self.relay.heal()

    def _freeze(self) -> None:
        self._check_relay()
        self.relay.freeze()
        time.sleep(OUTAGE)
        self.relay.heal()

    def _drain(self) -> None:
        service = self._dice.choice(("association", "store", "query-retrieve", "scu"))
        self._wait_for_both(service)
        self._replace(service, self._where.fleet.retire)


class Large:
    """Long operations, each hit once in the middle while nothing else runs. Recovery: how much longer it took."""

    def __init__(self, where: Ground, relay: Relay, ledger: Ledger) -> None:
        self._where = where
        self._relay = relay
        self._ledger = ledger
        self._stores = 0
        self._operations: dict[str, Callable[[Callable[[], None]], None]] = {
            "C-FIND of 10,000": self._find,
            "C-GET of 100 x 1 MB": self._get,
            "C-STORE of 1 GB": self._store,
        }

    def rows(self, rounds: int) -> Iterator[Row]:
        """Hit each operation `rounds` times by each fault; yield rows as they begin."""
        faults = {
            f"a zone's nats-server killed for {OUTAGE:g} s in": self._nats,
            f"leaf link cut for {OUTAGE:g} s in": self._link,
        }
        for operation, run in self._operations.items():
            undisturbed = min(self._timed(run, lambda: None) for _ in range(3))
            for fault, breaks in faults.items():
                row = Row(f"{fault} a {operation}", aborts=False)
                yield row
                for number in range(rounds):
                    row.times += 1
                    row.in_flight += 1
                    failures = len(self._ledger.failures)
                    outage = threading.Thread(target=breaks, args=(number,), daemon=True)
                    row.recovery.append(max(0.0, self._timed(run, outage.start) - undisturbed))
                    if outage.ident is None:
                        self._ledger.failed("ended before it was hit")
                    else:
                        outage.join()
                    row.failed += len(self._ledger.failures) - failures

    def _timed(self, run: Callable[[Callable[[], None]], None], hit: Callable[[], None]) -> float:
        began = time.monotonic()
        try:
            run(hit)
        except (AssertionError, OSError) as error:
            self._ledger.failed(f"{type(error).__name__}: {error}")
        return time.monotonic() - began

    def _nats(self, number: int) -> None:
        server = self._where.servers[number % 2]
        server.kill()
        time.sleep(OUTAGE)
        server.start()

    def _link(self, _: int) -> None:
        self._relay.cut()
        time.sleep(OUTAGE)
        self._relay.heal()

    def _open(self) -> Client:
        return Client.open(
            self._where.entry,
            called=TARGET,
            contexts=CONTEXTS,
            extra=GET_ROLES,
            timeout=120,
            max_length=131072,
        )

    def _store(self, hit: Callable[[], None]) -> None:
        self._stores += 1
        size = 1000 * MIB
        uid = instance_uid(99, self._stores, 1, size)
        message = store_rq(1, uid, b"", context_id=STORE)
        began = self._ledger.begin("C-STORE", uid)
        with self._open() as client:
            client.send(pdu(4, pdv(STORE, is_command=True, is_last=True, fragment=message.command)))
            left = size
            for fragment in pieces(uid, size, piece=client.peer_max_length - 6):
                left -= len(fragment)
                if left < size * 2 // 3 <= left + len(fragment):
                    hit()
                client.send(pdu(4, pdv(STORE, is_command=False, is_last=not left, fragment=fragment)))
            assert client.receive_message().status == 0
            client.release()
        self._ledger.succeeded("C-STORE", began, uid)

    def _find(self, hit: Callable[[], None]) -> None:
        began = self._ledger.begin("C-FIND")
        with self._open() as client:
            # At the first answer: soon all of them would have passed what is broken.
            ask_find(client, 10_000, on_answer=lambda number: hit() if number == 1 else None)
            client.release()
        self._ledger.succeeded("C-FIND", began)

    def _get(self, hit: Callable[[], None]) -> None:
        began = self._ledger.begin("C-GET")
        with self._open() as client:
            ask_get(client, 100, 1_000_000, on_store=lambda number: hit() if number == 30 else None)
            client.release()
        self._ledger.succeeded("C-GET", began)


@dataclass(slots=True)
class Report:
    """What a soak found."""

    rows: list[Row]
    ledger: Ledger
    before: dict[str, tuple[float, float]]
    after: dict[str, tuple[float, float]]
    seconds: float

    def table(self) -> str:
        """Return the table as Markdown."""
        lines = [
            "| fault, under C-STORE, C-FIND, C-GET and C-ECHO | times | in flight | aborted | failed "
            "| recovery, median and longest |",
            "|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {row.what} | {row.times} | {row.in_flight} | {row.aborted} | {row.failed} "
            f"| {statistics.median(row.recovery):.1f} s, {max(row.recovery):.1f} s |"
            for row in self.rows
            if row.times
        ]
        return "\n".join(lines)

    def sums(self) -> str:
        """Return the books and the footprint as Markdown."""
        books = self.ledger
        verified = sum(1 for uid in books.acknowledged if uid in books.stored)
        tried = ", ".join(f"{count} {service}" for service, count in sorted(books.tried.items()))
        lines = [
            f"In {self.seconds:.0f} s: {books.tried.total()} operations tried ({tried}), {books.done.total()} "
            f"acknowledged, {books.aborted.total()} aborted with their association, {len(books.failures)} failed.",
            f"C-STORE: {len(books.acknowledged)} acknowledged, {verified} verified at the target to the byte, "
            f"{len(books.duplicated)} duplicated, {len(books.lost)} lost, {len(books.damaged)} damaged.",
            "",
            "| process | MB resident before, after | open files before, after |",
            "|---|---|---|",
        ]
        for name, (memory, files) in self.before.items():
            memory_after, files_after = self.after[name]
            lines.append(f"| {name} | {memory:.0f}, {memory_after:.0f} | {files:.0f}, {files_after:.0f} |")
        return "\n".join(lines)

    def check(self) -> None:
        """Assert that only associations whose endpoint was killed ended, and that nothing else happened."""
        books = self.ledger
        assert not books.lost, f"lost: {books.lost[:3]}"
        assert not books.duplicated, f"duplicated: {books.duplicated[:3]}"
        assert not books.damaged, f"damaged: {books.damaged[:3]}"
        assert not books.failures, books.failures[:5]
        wrong = {row.what: row.aborted for row in self.rows if row.aborted and not row.aborts}
        assert not wrong, f"aborted by what should only delay: {wrong}"
        slow = {
            row.what: max(row.recovery)
            for row in self.rows
            if row.recovery and max(row.recovery) >= HEALED_WITHIN
        }
        assert not slow, f"not healed: {slow}"
        assert books.done.total() > 0


def footprint(where: Ground) -> dict[str, tuple[float, float]]:
    """Return resident MB and open files of a process of each service, on average."""
    found = {}
    for service in ("association", "store", "query-retrieve", "scu"):
        instances = where.fleet.of(service)
        for instance in instances:
            instance.wait_ready()
        found[service] = (
            statistics.mean(i.resident() for i in instances) / 1e6,
            statistics.mean(i.descriptors() for i in instances),
        )
    return found


@contextmanager
def soaking(directory: Path, seed: int) -> Iterator[tuple[Soak, Ground, Ledger]]:
    """Run everything but the faults."""
    ledger = Ledger()
    hospital = {"association": {"reuse_port": True}}
    with split_ground(directory, *SERVICES, hospital=hospital) as (where, relay):
        _, server = archive(where.target, ledger)
        try:
            yield Soak(where, relay, ledger, random.Random(seed)), where, ledger
        finally:
            server.stop(check=False)


def soak(
    directory: Path,
    *,
    rounds: int,
    seconds: float,
    large: int = 0,
    only: str = "",
    seed: int = 1,
    say: Callable[[str], None] = print,
) -> Report:
    """Try every kind of fault `rounds` times, for at most `seconds`; then `large` times those in long operations.

    Ctrl-C or SIGTERM ends the part that is running, and the report tells what was done.
    """
    began = time.monotonic()
    with soaking(directory, seed) as (faults, where, ledger):
        faults.only(only)
        before = footprint(where)
        rows = [row for row, _ in faults.faults]
        load = at_work(
            where.entry,
            called=TARGET,
            ledger=ledger,
            clients=CLIENTS,
            studies=STUDIES,
            timeout=60,
            pause=0.05,
        )
        with contextlib.suppress(KeyboardInterrupt), load:
            time.sleep(1)
            for number in range(1, rounds + 1):
                for row in faults.round():
                    say(
                        f"{time.monotonic() - began:6.1f} s  round {number}/{rounds}  {row.what}: "
                        f"recovered in {row.recovery[-1]:.1f} s"
                        + (f", {row.aborted} aborted so far" if row.aborted else "")
                        + (f", {row.failed} FAILED: {ledger.failures[-1]}" if row.failed else "")
                    )
                    if time.monotonic() - began > seconds:
                        break
                if time.monotonic() - began > seconds:
                    break
        with contextlib.suppress(KeyboardInterrupt):
            for row in Large(where, faults.relay, ledger).rows(large) if large else ():
                say(f"{time.monotonic() - began:6.1f} s  {row.what}")
                rows.append(row)
        after = footprint(where)
    return Report(rows, ledger, before, after, time.monotonic() - began)


def main() -> int:
    """Run from the command line; exit code 1 if the books don't balance."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50, help="how often each fault is tried (default 50)")
    parser.add_argument("--large", type=int, default=50, help="the same for long operations (default 50)")
    parser.add_argument(
        "--only", default="", help="only faults under mixed load whose name holds these words"
    )
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop after so long")
    parser.add_argument("--seed", type=int, default=1, help="of the dice that choose faults and moments")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="dimse-mesh-soak-") as directory:
        report = soak(
            Path(directory),
            rounds=arguments.rounds,
            seconds=arguments.seconds,
            large=arguments.large,
            only=arguments.only,
            seed=arguments.seed,
        )
    print()
    print(report.table())
    print()
    print(report.sums())
    try:
        report.check()
    except AssertionError as error:
        print(f"\nFAILED: {error}")
        print(*report.ledger.failures[:20], sep="\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
