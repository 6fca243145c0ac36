"""nats-server is killed, the link between two of them is cut: operations pause, go on, and not a byte is missing."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fault.archive import CONTEXTS, STORE
from tests.fault.clients import ask_find, ask_get, find_study, is_told, open_client, store_study
from tests.fault.conftest import ENDPOINTS, HOSTED, SOLO, TARGET, Ground, ground, split_ground
from tests.fault.content import content, instance_uid
from tests.fault.ledger import Ledger
from tests.fault.load import at_work
from tests.fault.outage import OUTAGE, outage
from tests.support.process import wait_until
from tests.support.scripted import Aborted, Client, Closed, Rejected, Server, ServerPeer, success
from tests.support.stalls import Stalls
from tests.support.tap import Tap
from tests.support.wire import Message, PduType, Status, associate_ac, associate_rq, store_rq

MIB = 1 << 20
TEMPORARY_CONGESTION = (2, 3, 1)
CALLED_NOT_RECOGNIZED = (1, 1, 7)
"""Result, source and reason (PS3.8 §9.3.4)."""

Break = Callable[[], None]


@contextmanager
def one_server(directory: Path) -> Iterator[tuple[Ground, Break, Break]]:
    """Yield a ground, what kills its nats-server, and what starts it again."""
    with ground(directory, *SOLO) as where:
        yield where, where.nats.kill, where.nats.start


@contextmanager
def one_server_hosted(directory: Path) -> Iterator[tuple[Ground, Break, Break]]:
    """As `one_server`, and the front-end hosts the handlers."""
    with ground(directory, *ENDPOINTS, hospital={"association": {"hosted_handlers": HOSTED}}) as where:
        yield where, where.nats.kill, where.nats.start


@contextmanager
def leaf_link(directory: Path) -> Iterator[tuple[Ground, Break, Break]]:
    """Yield a ground with a nats-server for each zone, what cuts the link between them, and what heals it."""
    with split_ground(directory, *SOLO) as (where, relay):
        yield where, relay.cut, relay.heal


@contextmanager
def frozen_link(directory: Path) -> Iterator[tuple[Ground, Break, Break]]:
    """The same, but the link just carries nothing: no connection ends."""
    with split_ground(directory, *SOLO) as (where, relay):
        yield where, relay.freeze, relay.heal


class Outage:
    """Breaks something once, when told, for `OUTAGE` seconds."""

    def __init__(self, breaks: Break, heals: Break) -> None:
        self._breaks = breaks
        self._heals = heals
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Break now, in the background."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def after(self, seconds: float) -> None:
        """Break later, in the background."""
        timer = threading.Timer(seconds, self._run)
        self._thread = timer
        timer.start()

    def _run(self) -> None:
        outage(self._breaks, self._heals)

    def over(self) -> None:
        """Wait for its end."""
        assert self._thread is not None, "the operation was over before anything was broken"
        self._thread.join(30)


@pytest.mark.parametrize(
    "kind", [one_server, one_server_hosted, leaf_link, frozen_link], ids=lambda kind: kind.__name__
)
def test_operations_survive_an_outage(
    tmp_path: Path,
    ledger: Ledger,
    kind: Callable[[Path], AbstractContextManager[tuple[Ground, Break, Break]]],
) -> None:
    size = 96 * MIB
    with (
        kind(tmp_path) as (where, breaks, heals),
        where.archive(ledger),
        open_client(where.entry, timeout=90) as client,
    ):
        uid = instance_uid(1, 1, 1, size)
        message = store_rq(1, uid, content(uid, size), context_id=STORE)
        pause = Outage(breaks, heals)
        pause.after(0.3)
        began = ledger.begin("C-STORE", uid)
        assert client.exchange(message).status == 0
        ledger.succeeded("C-STORE", began, uid)
        pause.over()
        assert ledger.slowest > OUTAGE

        pause = Outage(breaks, heals)
        began = time.monotonic()
        ask_find(client, 10_000, on_answer=lambda number: pause.begin() if number == 1 else None)
        assert time.monotonic() - began > OUTAGE, "the outage was not felt"
        pause.over()

        pause = Outage(breaks, heals)
        began = time.monotonic()
        ask_get(client, 60, 300_000, on_store=lambda number: pause.begin() if number == 20 else None)
        assert time.monotonic() - began > OUTAGE, "the outage was not felt"
        pause.over()
        client.release()
    ledger.check()


def test_repeated_restarts_under_load_fail_nothing(tmp_path: Path, ledger: Ledger) -> None:
    with (
        ground(tmp_path, *SOLO) as where,
        where.archive(ledger),
        at_work(
            where.entry, called=TARGET, ledger=ledger, clients=4, studies=[store_study(), find_study(500)]
        ),
    ):
        for _ in range(4):
            done = sum(ledger.done.values())
            where.nats.restart()
            end = time.monotonic() + 20
            while sum(ledger.done.values()) < done + 20 and time.monotonic() < end:
                time.sleep(0.05)
    assert ledger.done["C-STORE"] > 50
    ledger.check()


def test_association_opens_though_the_reply_was_lost(tmp_path: Path, stalls: Stalls) -> None:
    asked, answer = threading.Event(), threading.Event()
    first_ends: list[object] = []

    def target(peer: ServerPeer) -> None:
        first = not asked.is_set()
        peer.read_request()
        asked.set()
        if first:
            answer.wait(20)
        peer.send(associate_ac(peer.request) if peer.request is not None else b"")
        if first:
            first_ends.append(peer.receive())
        else:
            peer.serve(success)

    with (
        split_ground(tmp_path, *SOLO) as (where, relay),
        Server(target, port=where.target),
        Client.connect(where.entry) as client,
    ):
        opening = threading.Thread(target=client.associate, args=(associate_rq(called=TARGET),), daemon=True)
        began = time.monotonic()
        opening.start()
        assert asked.wait(20)
        relay.cut()
        answer.set()  # what the executor replies now reaches nobody
        time.sleep(OUTAGE)
        relay.heal()
        opening.join(30)
        assert client.accept is not None, "the association was not opened"
        assert stalls.moved(began) < OUTAGE + 4
        assert client.echo() == 0
        client.release()
    (end,) = first_ends
    assert getattr(end, "kind", None) == PduType.ABORT, "the association whose acceptance was lost is aborted"


@pytest.mark.parametrize(("asked", "before"), [(TARGET, "CLOUD"), ("CLOUD", TARGET)], ids=["AE", "zone"])
def test_destination_behind_a_cut_link_is_out_of_reach_and_not_unknown(
    tmp_path: Path, stalls: Stalls, asked: str, before: str
) -> None:
    """Though nobody has asked for it before: the executor has said what it serves."""
    routes = [{"called": zone.upper(), "to": {"zone": zone}} for zone in ("cloud", "nowhere")]
    served: dict[str, Any] = {"remote_aes": [{"ae_title": "HERE", "host": "127.0.0.1", "port": 1}]}
    instances = [("hospital", "association"), ("hospital", "scu"), ("cloud", "scu")]
    with split_ground(
        tmp_path, *instances, hospital={"routes": routes, "scu": served}, remote={"default": True}
    ) as (where, relay):
        for called in (before, "HERE"):
            assert _rejected(where, called) == TEMPORARY_CONGESTION, (
                "the executor answers, nobody is at its target"
            )
        # An executor's first heartbeat may be lost before the leaf link knows who listens, so wait for another one.
        with Tap(where.nats.port) as tap:
            wait_until(
                lambda: any(m.subject.startswith("DIMSE.live.cloud.scu.") for m in tap.messages),
                "a heartbeat",
            )
        relay.cut()
        began = time.monotonic()
        assert _rejected(where, asked) == TEMPORARY_CONGESTION
        assert time.monotonic() - began > 2.5, "an executor that may come back is waited for"
        assert stalls.moved(began) < 5
        for called in ("NOWHERE", "NOBODY"):
            began = time.monotonic()
            assert _rejected(where, called) == CALLED_NOT_RECOGNIZED, called
            assert stalls.moved(began) < 1
        relay.heal()
        with where.archive():
            wait_until(lambda: _opens(where, asked), f"{asked} is reached again")


def _rejected(where: Ground, called: str) -> tuple[int, int, int]:
    """Ask for an association; return how it was rejected."""
    with pytest.raises(Rejected) as caught:
        Client.open(where.entry, called=called)
    return caught.value.triple


def _opens(where: Ground, called: str) -> bool:
    try:
        with Client.open(where.entry, called=called, contexts=CONTEXTS) as client:
            client.release()
    except Rejected:
        return False
    return True


def test_death_behind_a_cut_link_is_told_when_the_link_is_back(tmp_path: Path, stalls: Stalls) -> None:
    instances = [*SOLO, ("cloud", "scu")]
    with split_ground(tmp_path, *instances) as (where, relay), where.archive():
        clients = [open_client(where.entry, timeout=90) for _ in range(12)]
        try:
            relay.cut()
            where.fleet.kill(where.fleet.of("scu")[0])
            time.sleep(2.5)  # its witness has announced the death, to nobody on our side
            relay.heal()
            healed = time.monotonic()
            # nats-server's own reconnection over the healed link is in it, and the next heartbeat.
            told = sum(is_told(client, healed, stalls, within=12) for client in clients)
            assert 0 < told < len(clients), f"{told} of {len(clients)} were told"
        finally:
            for client in clients:
                client.close()


def test_outage_beyond_the_deadline_fails_operations_and_spares_the_association(
    tmp_path: Path, ledger: Ledger, stalls: Stalls
) -> None:
    short = {"mesh": {"deadline": 2.0}}
    with (
        ground(tmp_path, *SOLO, hospital=short, cloud=short) as where,
        where.archive(ledger),
        open_client(where.entry, timeout=90) as client,
        open_client(where.entry, timeout=90) as in_the_middle,
    ):
        half = content(instance_uid(1, 1, 1, 40 * MIB), 40 * MIB)
        whole = store_rq(1, instance_uid(1, 1, 1, 40 * MIB), half, context_id=STORE)
        sender = threading.Thread(target=_send_until_aborted, args=(in_the_middle, whole), daemon=True)
        where.nats.kill()
        uid = instance_uid(1, 1, 2, 1000)
        began = time.monotonic()
        sender.start()
        answer = client.exchange(store_rq(2, uid, content(uid, 1000), context_id=STORE))
        assert answer.status == Status.OUT_OF_RESOURCES
        assert time.monotonic() - began > 2.0
        assert stalls.moved(began) < 4.0
        where.nats.start()
        sender.join(20)
        assert not sender.is_alive(), "the client that was in mid-object never got an answer"
        for (
            instance
        ) in where.fleet.instances:  # each has two connections; the next operation has as short a deadline
            wait_until(
                lambda child=instance.child: child.output.count(" to NATS is back") == 2,  # type: ignore[misc]
                f"{instance.service} is back",
                timeout=60,
            )
        uid = instance_uid(1, 1, 3, 100_000)
        began = ledger.begin("C-STORE", uid)
        assert client.exchange(store_rq(3, uid, content(uid, 100_000), context_id=STORE)).status == 0
        ledger.succeeded("C-STORE", began, uid)
        client.release()
    ledger.check()
    assert list(ledger.books["C-STORE"].performed) == [uid], "what failed must not arrive later"


def _send_until_aborted(client: Client, message: Message) -> None:
    with contextlib.suppress(Aborted, Closed):
        assert client.exchange(message).status == Status.OUT_OF_RESOURCES
