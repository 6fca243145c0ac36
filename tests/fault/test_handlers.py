"""Handlers are killable at any moment of any operation: nothing fails, and nothing is done twice."""

from __future__ import annotations

import random
import threading
from pathlib import Path

from tests.fault.archive import CONTEXTS, STORE
from tests.fault.clients import echo_study, find_study, get_study, open_client, store_study
from tests.fault.conftest import TARGET, each, ground
from tests.fault.content import content, instance_uid
from tests.fault.ledger import Ledger
from tests.fault.load import at_work
from tests.fault.normalised import N_CONTEXTS, answers, commitment_study, step_study
from tests.support.process import wait_until
from tests.support.stalls import Stalls
from tests.support.wire import store_rq

KILLS = 6
HANDLERS = ("store", "query-retrieve", "n-service")


def test_killed_handlers_fail_and_repeat_nothing_under_load(
    tmp_path: Path, ledger: Ledger, stalls: Stalls
) -> None:
    ledger.stalls = stalls
    dice = random.Random(4)
    services = [
        ("hospital", "association"),
        *each("store", 2),
        *each("query-retrieve", 2),
        *each("n-service", 2),
        ("cloud", "scu"),
    ]
    studies = [store_study(), store_study((3_000_000,)), find_study(), get_study(), echo_study()]
    studies += [step_study(), commitment_study()]
    with (
        ground(tmp_path, *services) as where,
        where.archive(ledger, more=answers(ledger)),
        at_work(
            where.entry,
            called=TARGET,
            ledger=ledger,
            clients=4,
            studies=studies,
            contexts=(*CONTEXTS, *N_CONTEXTS),
        ),
    ):
        for number in range(KILLS):
            victims = where.fleet.of(HANDLERS[number % 3])
            threading.Event().wait(dice.uniform(0.1, 0.5))
            victim = dice.choice(victims)
            where.fleet.kill(victim)
            where.fleet.start("hospital", victim.service)
        wait_until(
            lambda: ledger.done["C-STORE"] > 100 and ledger.done["N-ACTION"] > 10,
            f"enough is done: {ledger.done}",
            timeout=60,
        )
    ledger.check()
    assert ledger.slowest < 5


def test_operation_waits_for_the_only_handler_to_come_back(tmp_path: Path, ledger: Ledger) -> None:
    services = [("hospital", "association"), ("hospital", "store"), ("cloud", "scu")]
    with (
        ground(tmp_path, *services) as where,
        where.archive(ledger),
        open_client(where.entry) as client,
    ):
        for number, size in enumerate((100, 30_000, 2_000_000), 1):
            where.fleet.kill(where.fleet.of("store")[0])
            uid = instance_uid(1, 1, number, size)
            began = ledger.begin("C-STORE", uid)
            client.send_message(store_rq(number, uid, content(uid, size), context_id=STORE))
            where.fleet.start("hospital", "store")
            assert client.receive_message().status == 0
            ledger.succeeded("C-STORE", began, uid)
        client.release()
    ledger.check()
