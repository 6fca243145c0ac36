"""SIGTERM on any instance, and rolling restarts of everything: nothing is lost, nothing fails."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.fault.archive import CONTEXTS, STORE
from tests.fault.clients import find_study, open_client, store_study
from tests.fault.conftest import SOLO, TARGET, each, ground
from tests.fault.ledger import Ledger
from tests.fault.load import at_work
from tests.fault.normalised import N_CONTEXTS, answers, step_study
from tests.support.process import wait_until
from tests.support.scripted import Aborted, Closed, Rejected, Server, ServerPeer
from tests.support.stalls import Stalls
from tests.support.wire import Message, PduType, fragments, pdu, response, store_rq

CONGESTION = (2, 3, 1)
"""Transient, service provider (presentation), temporary congestion (PS3.8 §9.3.4)."""


def test_rolling_restart_of_every_service_fails_nothing(tmp_path: Path, ledger: Ledger) -> None:
    services = [
        *each("association", 2),
        *each("store", 2),
        *each("query-retrieve", 2),
        *each("n-service", 2),
        *each("scu", 2, "cloud"),
    ]
    with (
        ground(tmp_path, *services, hospital={"association": {"reuse_port": True}}) as where,
        where.archive(ledger, more=answers(ledger)),
        at_work(
            where.entry,
            called=TARGET,
            ledger=ledger,
            clients=3,
            studies=[store_study(), find_study(100), step_study()],
            contexts=(*CONTEXTS, *N_CONTEXTS),
        ),
    ):
        for name in ("association", "store", "query-retrieve", "n-service", "scu"):
            old = where.fleet.of(name)
            where.fleet.start_all(*((instance.zone, name) for instance in old))
            for instance in old:
                assert where.fleet.retire(instance) == 0, instance.child.describe()
        wait_until(
            lambda: ledger.done["C-STORE"] > 100 and ledger.done["C-FIND"] > 20,
            f"enough is done: {ledger.done}",
            timeout=60,
        )
    ledger.check()


def test_draining_front_end_rejects_newcomers_and_finishes_what_it_has(
    tmp_path: Path, stalls: Stalls
) -> None:
    finish = threading.Event()
    kinds: list[int] = []

    def target(peer: ServerPeer) -> None:
        peer.accept_association()
        while True:
            try:
                received = peer.receive()
            except Closed:
                return
            if not isinstance(received, Message):
                kinds.append(received.kind)
                if received.kind == PduType.RELEASE_RQ:
                    peer.send(pdu(6, bytes(4)))
                return
            finish.wait(20)
            peer.send_message(response(received))

    hospital = {"association": {"drain_timeout": 4.0}}
    with (
        ground(tmp_path, *SOLO, hospital=hospital) as where,
        Server(target, port=where.target) as server,
        open_client(where.entry) as busy,
        open_client(where.entry) as idle,
        open_client(where.entry) as leaving,
    ):
        whole = [
            pdu(4, value)
            for value in fragments(store_rq(1, "1.2.3", bytes(400_000), context_id=STORE), [16000])
        ]
        busy.send(b"".join(whole[:10]))
        (front_end,) = where.fleet.of("association")
        began = time.monotonic()
        front_end.drain()
        front_end.child.wait_for_line("draining")

        def rejected() -> bool:
            try:
                open_client(where.entry).close()
            except Rejected as error:
                return error.triple == CONGESTION
            return False

        leaving.release()
        wait_until(rejected, "newcomers are rejected")
        busy.send(b"".join(whole[10:]))
        with pytest.raises(Aborted):
            idle.receive_message()
        assert time.monotonic() - began > 2, "an idle association gets time to end by itself"
        finish.set()
        assert busy.receive_message().status == 0, "an operation in flight is finished"
        with pytest.raises((Aborted, Closed)):
            busy.receive_message()
        assert front_end.child.wait() == 0
        assert stalls.moved(began) < 6
        server.join()
    assert sorted(kinds) == [PduType.RELEASE_RQ, PduType.ABORT, PduType.ABORT]


@pytest.mark.parametrize("service", ["scu", "store"])
def test_drain_of_the_only_instance_is_bounded(tmp_path: Path, stalls: Stalls, service: str) -> None:
    with (
        ground(tmp_path, *SOLO, cloud={"scu": {"drain_timeout": 2.0}}) as where,
        where.archive(),
        open_client(where.entry) as client,
    ):
        assert client.exchange(store_rq(1, "1.2.3.100", bytes(100), context_id=STORE)).status == 0
        (victim,) = where.fleet.of(service)
        began = time.monotonic()
        assert where.fleet.retire(victim) == 0
        assert stalls.moved(began) < 4
