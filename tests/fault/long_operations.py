"""Faults in the middle of long operations: a C-STORE of 1 GB, a C-FIND of 10,000, a C-GET of 100 MB."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator

from tests.fault.archive import CONTEXTS, GET_ROLES, STORE
from tests.fault.clients import ask_find, ask_get
from tests.fault.conftest import TARGET, Ground
from tests.fault.content import instance_uid, pieces
from tests.fault.faults import OUTAGE
from tests.fault.ledger import Ledger
from tests.fault.relay import Relay
from tests.fault.report import Row
from tests.support.scripted import Client
from tests.support.wire import pdu, pdv, store_rq

MIB = 1 << 20
_CLIENT = 99
"""In the place of a client's number in the UIDs."""


class Large:
    """Long operations, each hit once in the middle while nothing else runs. Recovery: how much longer it took."""

    def __init__(self, where: Ground, relay: Relay, ledger: Ledger) -> None:
        self._where = where
        self._relay = relay
        self._ledger = ledger
        self._numbers = itertools.count(1)
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
                row = Row(f"{fault} a {operation}")
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

    def _uid(self, size: int) -> str:
        return instance_uid(_CLIENT, next(self._numbers), 1, size)

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
        size = 1000 * MIB
        uid = self._uid(size)
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
        uid = self._uid(0)
        began = self._ledger.begin("C-FIND", uid)
        with self._open() as client:
            # At the first answer: soon all of them would have passed what is broken.
            ask_find(client, 10_000, uid=uid, on_answer=lambda number: hit() if number == 1 else None)
            client.release()
        self._ledger.succeeded("C-FIND", began, uid)

    def _get(self, hit: Callable[[], None]) -> None:
        uid = self._uid(0)
        began = self._ledger.begin("C-GET", uid)
        with self._open() as client:
            ask_get(client, 100, 1_000_000, uid=uid, on_store=lambda number: hit() if number == 30 else None)
            client.release()
        self._ledger.succeeded("C-GET", began, uid)
