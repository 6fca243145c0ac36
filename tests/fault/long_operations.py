"""Faults in the middle of long operations: a C-STORE of 1 GB, a C-FIND of 10,000, a C-GET of 100 MB."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from tests.fault.archive import CONTEXTS, GET_ROLES, STORE
from tests.fault.clients import ask_find, ask_get
from tests.fault.conftest import TARGET, Ground
from tests.fault.content import instance_uid, pieces
from tests.fault.ledger import Ledger
from tests.fault.outage import OUTAGE, outage
from tests.fault.relay import Relay
from tests.fault.report import Row
from tests.support.scripted import Client
from tests.support.wire import p_data_in_pieces, store_rq

MIB = 1 << 20
SIZE = 1000 * MIB
_CLIENT = 99
"""In the place of a client's number in the UIDs."""
_TRIES = 2
"""How many operations may be run for one that is hit."""


class Watch:
    """Told of each step of an operation: breaks what it is to break, once, and keeps the longest pause from then on."""

    def __init__(self, breaks: Callable[[], None]) -> None:
        self._outage = threading.Thread(target=breaks, daemon=True)
        self._last = 0.0
        self.pause = 0.0
        """Seconds; 0 when nothing was broken."""

    def hit(self) -> None:
        """Break now, in the background."""
        self._last = time.monotonic()
        self._outage.start()

    def step(self) -> None:
        """Note that the operation got on."""
        if self._last:
            now = time.monotonic()
            self.pause, self._last = max(self.pause, now - self._last), now

    def over(self) -> None:
        """Wait until the outage is over."""
        if self._last:
            self._outage.join()


Operation = Callable[[Client, str, Watch], None]


class Large:
    """Long operations, each hit once while nothing else runs. Recovery: the longest pause, the outage included."""

    def __init__(self, where: Ground, relay: Relay, ledger: Ledger) -> None:
        self._where = where
        self._relay = relay
        self._ledger = ledger
        self._numbers = itertools.count(1)

    def rows(self, rounds: int) -> Iterator[Row]:
        """Hit each operation `rounds` times by each fault; yield rows as they begin.

        An operation that paused for less than half the outage was not hit: it counts in the books, but not as a try.
        """
        operations: dict[tuple[str, str], Operation] = {
            ("C-FIND", "of 10,000"): _find,
            ("C-GET", "of 100 x 1 MB"): _get,
            ("C-STORE", "of 1 GB"): _store,
        }
        faults = {
            f"a zone's nats-server killed for {OUTAGE:g} s": self._nats,
            f"leaf link cut for {OUTAGE:g} s": self._link,
        }
        for (service, size), operation in operations.items():
            for fault, breaks in faults.items():
                row = Row(f"{fault} in a {service} {size}")
                yield row
                for _ in range(_TRIES * rounds):
                    if row.times == rounds:
                        break
                    self._try(row, service, operation, Watch(partial(breaks, row.times)))
                if row.times < rounds:
                    self._ledger.failed(f"{row.what}: {row.times} of {rounds} were hit")

    def _try(self, row: Row, service: str, operation: Operation, watch: Watch) -> None:
        ledger = self._ledger
        before = ledger.tally()
        uid = instance_uid(_CLIENT, next(self._numbers), 1, SIZE)
        began = ledger.begin(service, uid)
        try:
            with self._open() as client:
                operation(client, uid, watch)
                client.release()
        except (AssertionError, OSError) as error:
            ledger.failed(f"{row.what}: {type(error).__name__}: {error}", service=service)
        else:
            ledger.succeeded(service, began, uid)
        watch.step()
        watch.over()
        row.ended = row.ended.plus(ledger.tally().since(before))
        if watch.pause > OUTAGE / 2:
            row.times += 1
            row.in_flight += 1
            row.recovery.append(watch.pause)

    def _open(self) -> Client:
        return Client.open(
            self._where.entry,
            called=TARGET,
            contexts=CONTEXTS,
            extra=GET_ROLES,
            timeout=120,
            max_length=131072,
        )

    def _nats(self, number: int) -> None:
        server = self._where.servers[number % 2]
        outage(server.kill, server.start)

    def _link(self, _: int) -> None:
        outage(self._relay.cut, self._relay.heal)


def _store(client: Client, uid: str, watch: Watch) -> None:
    message = store_rq(1, uid, b"", context_id=STORE)
    sent = 0
    for data in p_data_in_pieces(message, pieces(uid, SIZE, piece=client.peer_max_length - 6)):
        if sent < SIZE // 3 <= sent + len(data):
            watch.hit()
        client.send(data)
        sent += len(data)
        watch.step()
    assert client.receive_message().status == 0


def _find(client: Client, uid: str, watch: Watch) -> None:
    def on_answer(number: int) -> None:
        watch.step()
        if number == 1:  # Soon all of them would have passed what is broken.
            watch.hit()

    ask_find(client, 10_000, uid=uid, on_answer=on_answer)


def _get(client: Client, uid: str, watch: Watch) -> None:
    def on_store(number: int) -> None:
        watch.step()
        if number == 30:
            watch.hit()

    ask_get(client, 100, 1_000_000, uid=uid, on_store=on_store)
