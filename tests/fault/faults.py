"""Faults under mixed load: one after the other, each when the one before has healed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tests.fault.conftest import Ground
from tests.fault.fleet import Instance
from tests.fault.ledger import Ledger
from tests.fault.outage import OUTAGE, outage
from tests.fault.relay import Relay
from tests.fault.report import HEALED_WITHIN, Row

STOPPED = 2.0
THIN, LONG, BAD = 1_000_000, 0.1, 4.0
"""A leaf link of so many bytes a second; or so many seconds long, one way; and for how many seconds."""
PAIRS = {
    "association": "hospital",
    "store": "hospital",
    "query-retrieve": "hospital",
    "n-service": "hospital",
    "scu": "cloud",
}
"""The services of which there are two instances, and in which zone: what may be killed."""
HOSTING_PAIRS = {"association": "hospital", "scu": "cloud"}
"""The same, where the front-ends host the handlers."""
HANDLED = {
    "store": ("C-STORE",),
    "query-retrieve": ("C-FIND", "C-GET", "C-MOVE"),
    "n-service": ("N-CREATE", "N-SET", "N-ACTION"),
}
"""The clients' operations that the handlers of each service take."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault: `happen` to an instance of one of `services`, if it is theirs."""

    row: Row
    happen: Callable[[str], None]
    services: tuple[str, ...] = ()


class Faults:
    """The faults, and the books of each kind.

    Args:
        pairs: services of which there are two instances, and in which zone.
        clients: how many are at work all the time.
    """

    def __init__(
        self,
        where: Ground,
        relay: Relay,
        ledger: Ledger,
        *,
        dice: random.Random,
        pairs: Mapping[str, str],
        clients: int,
    ) -> None:
        self._pairs = pairs
        self._where = where
        self._relay = relay
        self._ledger = ledger
        self._dice = dice
        self._clients = clients
        self._carried = 0
        faults = [
            *(Fault(Row(f"{service} handler killed, of two"), self._kill, (service,)) for service in HANDLED),
            Fault(Row(f"handler stopped for {STOPPED:g} s, of two"), self._stop, tuple(HANDLED)),
            Fault(Row("front-end killed, of two", aborts=True), self._kill, ("association",)),
            Fault(Row("executor killed, of two", aborts=True), self._kill, ("scu",)),
            Fault(Row(f"a zone's nats-server killed for {OUTAGE:g} s"), self._restart_nats),
            Fault(Row(f"leaf link cut for {OUTAGE:g} s"), self._cut),
            Fault(Row(f"leaf link silent for {OUTAGE:g} s"), self._freeze),
            Fault(Row(f"leaf link of {THIN / 1e6:g} MB/s for {BAD:g} s"), self._thin),
            Fault(Row(f"leaf link with a round trip of {2000 * LONG:g} ms for {BAD:g} s"), self._lengthen),
            Fault(Row("instance of any service drained"), self._drain, tuple(pairs)),
        ]
        self._faults = [fault for fault in faults if set(fault.services) <= pairs.keys()]

    @property
    def rows(self) -> list[Row]:
        """What became of each kind."""
        return [fault.row for fault in self._faults]

    def only(self, words: str) -> None:
        """Leave out the faults whose name doesn't hold `words`."""
        self._faults = [fault for fault in self._faults if words in fault.row.what]

    def round(self) -> Iterator[Row]:
        """Try each kind of fault once, in any order."""
        for fault in self._dice.sample(self._faults, len(self._faults)):
            row = fault.row
            service = self._dice.choice(fault.services) if fault.services else ""
            if service:
                for instance in self._of(service):
                    instance.wait_ready()
            time.sleep(self._dice.uniform(0.05, 0.5))
            row.in_flight += self._wait_for_traffic(service)
            row.times += 1
            before = self._ledger.tally()
            began = time.monotonic()
            fault.happen(service)
            self.wait_for_clients(since=time.monotonic())
            row.recovery.append(time.monotonic() - began)
            row.ended = row.ended.plus(self._ledger.tally().since(before))
            yield row

    def _of(self, service: str) -> list[Instance]:
        return self._where.fleet.of(service, self._pairs[service])

    def _wait_for_traffic(self, service: str) -> int:
        """Return, at a moment when there are some, how many operations are in flight; for a handler, of its service."""
        handled = HANDLED.get(service)
        end = time.monotonic() + 1
        while True:
            with self._ledger.lock:
                count = sum(n for name, n in self._ledger.in_flight.items() if not handled or name in handled)
            if count >= (1 if handled else 2) or time.monotonic() > end:
                return count
            time.sleep(0.0005)

    def wait_for_clients(self, *, since: float = 0.0) -> None:
        """Return when each client has finished a study that it began after `since`, or after `HEALED_WITHIN`.

        So no fault hits what the one before has left.
        """
        end = time.monotonic() + HEALED_WITHIN
        while time.monotonic() < end:
            fresh = dict(self._ledger.fresh)
            if len(fresh) == self._clients and min(fresh.values()) > since:
                return
            time.sleep(0.01)

    def _replace(self, service: str, end: Callable[[Instance], object]) -> None:
        victim = self._dice.choice(self._of(service))
        end(victim)
        # Its successor starts while the other one carries on.
        successor = self._where.fleet.start(victim.zone, victim.service, wait=False)
        threading.Thread(target=successor.wait_ready, daemon=True).start()

    def _kill(self, service: str) -> None:
        self._replace(service, self._where.fleet.kill)

    def _drain(self, service: str) -> None:
        self._replace(service, self._where.fleet.retire)

    def _stop(self, service: str) -> None:
        victim = self._dice.choice(self._of(service))
        outage(victim.pause, victim.resume, seconds=STOPPED)

    def _restart_nats(self, _: str) -> None:
        server = self._dice.choice(self._where.servers)
        outage(server.kill, server.start)

    def _check_relay(self) -> None:
        """Make sure that what is about to be broken carries the load: servers may know other ways."""
        assert self._relay.carried > self._carried, "the leaf link does not pass through the relay"
        self._carried = self._relay.carried

    def _cut(self, _: str) -> None:
        self._check_relay()
        outage(self._relay.cut, self._relay.heal)

    def _freeze(self, _: str) -> None:
        self._check_relay()
        outage(self._relay.freeze, self._relay.heal)

    def _thin(self, _: str) -> None:
        def narrow() -> None:
            self._relay.rate = THIN

        self._check_relay()
        outage(narrow, self._relay.heal, seconds=BAD)

    def _lengthen(self, _: str) -> None:
        def lengthen() -> None:
            self._relay.delay = LONG

        self._check_relay()
        outage(lengthen, self._relay.heal, seconds=BAD)
