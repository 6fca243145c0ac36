"""A thin line between two zones: everything takes longer, nothing fails, and nothing is sent twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.fault.archive import STORE
from tests.fault.clients import ask_find, open_client
from tests.fault.conftest import SOLO, ground, split_ground
from tests.fault.content import content, instance_uid
from tests.fault.ledger import Ledger
from tests.support.scripted import Client
from tests.support.stalls import Stalls
from tests.support.wire import VERIFICATION, Command, request, store_rq

RATE = 250_000
"""Bytes per second: 2 Mbit/s."""
CLIENTS = 6
SIZE = 400_000


def in_background(work: Callable[[], None]) -> threading.Thread:
    """Start `work` in a thread."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def store(client: Client, ledger: Ledger, uid: str, size: int) -> None:
    """Store an instance and note what becomes of it."""
    began = ledger.begin("C-STORE", uid)
    status = client.exchange(store_rq(1, uid, content(uid, size), context_id=STORE)).status
    if status:
        ledger.failed(f"C-STORE: status {status:04X}", service="C-STORE")
    else:
        ledger.succeeded("C-STORE", began, uid)


def test_clients_share_a_thin_line(tmp_path: Path, ledger: Ledger, stalls: Stalls) -> None:
    with split_ground(tmp_path, *SOLO) as (where, relay), where.archive(ledger):
        clients = [open_client(where.entry, timeout=90) for _ in range(CLIENTS)]
        other = open_client(where.entry, timeout=90)
        relay.rate, carried = RATE, relay.carried
        began = time.monotonic()
        work = [
            in_background(lambda c=client, n=number: store(c, ledger, instance_uid(1, n, 1, SIZE), SIZE))  # type: ignore[misc]
            for number, client in enumerate(clients, 1)
        ]
        slowest = 0.0
        while any(thread.is_alive() for thread in work):
            asked = time.monotonic()
            assert other.exchange(request(Command.C_ECHO, 1, VERIFICATION)).status == 0
            other.received.clear()
            slowest = max(slowest, stalls.moved(asked))
        seconds = time.monotonic() - began
        carried = relay.carried - carried
        relay.rate = float("inf")
        for client in (*clients, other):
            client.release()
    ledger.check()
    assert seconds > 0.9 * CLIENTS * SIZE / RATE, "the line was not thin"
    assert carried < 1.1 * CLIENTS * SIZE, "what was only late was sent again"
    assert slowest < 6, "a C-ECHO waited behind more than the path may hold"


def test_a_handler_that_hangs_holds_up_no_other_service_on_a_path(
    tmp_path: Path, ledger: Ledger, stalls: Stalls
) -> None:
    with ground(tmp_path, *SOLO) as where, where.archive(ledger):
        stored, asks = open_client(where.entry, timeout=90), open_client(where.entry, timeout=90)
        (handler,) = where.fleet.of("store")
        handler.pause()
        size = 4_000_000  # more than a path's window has ever been here
        work = in_background(lambda: store(stored, ledger, instance_uid(1, 1, 1, size), size))
        time.sleep(0.5)
        began = time.monotonic()
        ask_find(asks, 500)
        assert stalls.moved(began) < 3
        assert work.is_alive()
        handler.resume()
        work.join(30)
        assert not work.is_alive()
        stored.release()
        asks.release()
    ledger.check()
