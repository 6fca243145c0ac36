"""Peers that stop reading, sending or answering: bounded memory, bounded time, and nobody else notices."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fault.archive import FIND, STORE, find_rq
from tests.fault.clients import open_client
from tests.fault.conftest import SOLO, Ground, ground
from tests.support.scripted import Aborted, Closed, Server, ServerPeer, success
from tests.support.stalls import Stalls
from tests.support.wire import (
    VERIFICATION,
    Command,
    Message,
    PduType,
    Status,
    fragments,
    pdu,
    request,
    response,
    store_rq,
)

PATIENCE = 1.0
"""What every timeout is set to."""
WITHIN = PATIENCE * 2 + 1.5
IDLE = 3.0
"""An association's patience with silence; less, and one ages while another opens."""
MIB = 1 << 20


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A mesh with short timeouts."""
    bounds = {
        "stalled_read_timeout": PATIENCE,
        "stalled_write_timeout": PATIENCE,
        "release_timeout": 1.0,
        "artim_timeout": 1.0,
    }
    with ground(
        tmp_path_factory.mktemp("impatient"),
        *SOLO,
        hospital={"association": {**bounds, "operation_timeout": PATIENCE * 2}},
        cloud={"scu": bounds},
    ) as where:
        yield where


class Healthy:
    """An association that must not feel anything: its C-ECHOs go on, and none is slow."""

    def __init__(self, where: Ground) -> None:
        self._client = open_client(where.entry)
        self._stalls = Stalls()
        self._stop = threading.Event()
        self.slowest = 0.0
        self.count = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            began = time.monotonic()
            assert self._client.echo(self.count % 60000 + 1) == 0
            self._client.received.clear()
            self.slowest = max(self.slowest, self._stalls.moved(began))
            self.count += 1

    def __enter__(self) -> Healthy:
        self._stalls.__enter__()
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        self._stalls.__exit__()
        if kind is None:
            self._client.release()
            assert self.count > 10
            assert self.slowest < 1.0, f"a C-ECHO of another association took {self.slowest:.2f} s"
        self._client.close()


def memory(where: Ground) -> dict[str, int]:
    """Return the MiB that each process has allocated."""
    return {i.service: i.allocated() // MIB for i in where.fleet.instances}


class Mixed:
    """A target that serves the first association and runs `script` in the others."""

    def __init__(self, script: Callable[[ServerPeer], object]) -> None:
        self._first = True
        self._script = script

    def __call__(self, peer: ServerPeer) -> None:
        first, self._first = self._first, False
        peer.accept_association()
        with contextlib.suppress(Closed, TimeoutError):
            if first:
                peer.serve(success)
            else:
                self._script(peer)


def test_target_that_stops_reading_is_given_up_in_bounded_memory(impatient: Ground, stalls: Stalls) -> None:
    over = threading.Event()
    with Server(Mixed(lambda _: over.wait(30)), port=impatient.target), Healthy(impatient):
        before = memory(impatient)
        with open_client(impatient.entry) as client:
            began = time.monotonic()
            with pytest.raises((Aborted, Closed)):
                client.exchange(store_rq(1, "1.2.3", bytes(64 * MIB), context_id=STORE))
            assert stalls.moved(began) < WITHIN
        grown = {name: size - before[name] for name, size in memory(impatient).items()}
        over.set()
    assert max(grown.values()) < 32, f"MiB grown: {grown}"


def test_client_that_stops_reading_is_given_up_in_bounded_memory(impatient: Ground, stalls: Stalls) -> None:
    ended = threading.Event()

    def flood(peer: ServerPeer) -> None:
        asked = peer.receive_message()
        block = bytes(16000)
        try:
            for _ in range(20_000):
                peer.send_message(response(asked, 0xFF00, data=block))
            # all of it was discarded: after its A-ABORT the executor reads until the target closes
            aborted = getattr(peer.receive(), "kind", None) == PduType.ABORT
        except Closed:
            aborted = True
        if aborted:
            ended.set()

    with Server(Mixed(flood), port=impatient.target), Healthy(impatient):
        before = memory(impatient)
        with open_client(impatient.entry) as client:
            began = time.monotonic()
            client.send_message(find_rq(1, 1))
            assert ended.wait(30), "the target is told that its client is stuck"
            assert stalls.moved(began) < WITHIN
        grown = {name: size - before[name] for name, size in memory(impatient).items()}
    assert max(grown.values()) < 32, f"MiB grown: {grown}"


@pytest.mark.parametrize("where_it_stops", ["between PDUs", "inside a PDU", "after the command"])
def test_client_that_stops_in_mid_object_is_aborted_on_both_sides(
    impatient: Ground, stalls: Stalls, where_it_stops: str
) -> None:
    ends: list[object] = []

    def target(peer: ServerPeer) -> None:
        ends.append(peer.receive())

    whole = [
        pdu(4, value) for value in fragments(store_rq(1, "1.2.3", bytes(MIB), context_id=STORE), [16000])
    ]
    sent = {
        "between PDUs": b"".join(whole[:30]),
        "inside a PDU": b"".join(whole[:30])[:-100],
        "after the command": whole[0],
    }[where_it_stops]
    server = Server(Mixed(target), port=impatient.target)
    with server, Healthy(impatient), open_client(impatient.entry) as client:
        began = time.monotonic()
        client.send(sent)
        with pytest.raises(Aborted):
            client.receive_message()
        assert time.monotonic() - began > PATIENCE * 0.9
        assert stalls.moved(began) < WITHIN
    (end,) = ends
    assert getattr(end, "kind", None) == 7


def test_target_that_never_answers_fails_the_operation_and_spares_the_association(
    impatient: Ground, stalls: Stalls
) -> None:
    def deaf(peer: ServerPeer) -> None:
        peer.receive_message()
        peer.serve(success)

    with (
        Server(Mixed(deaf), port=impatient.target),
        Healthy(impatient),
        open_client(impatient.entry) as client,
    ):
        began = time.monotonic()
        answer = client.exchange(store_rq(1, "1.2.3", bytes(1000), context_id=STORE))
        assert answer.status == Status.OUT_OF_RESOURCES
        assert stalls.moved(began) < WITHIN
        assert client.exchange(store_rq(2, "1.2.4", bytes(100_000), context_id=STORE)).status == 0
        client.release()


def test_pause_between_messages_is_no_offence(impatient: Ground) -> None:
    with (
        Server(Mixed(lambda peer: peer.serve(success)), port=impatient.target),
        Healthy(impatient),
        open_client(impatient.entry) as client,
    ):
        assert client.echo() == 0
        client.sock.settimeout(PATIENCE * 2)
        with pytest.raises(TimeoutError):
            client.read_pdu()
        client.sock.settimeout(20)
        assert client.echo(2) == 0
        client.release()


@pytest.mark.parametrize("side", ["hospital", "cloud"])
def test_idle_association_is_aborted_and_a_waiting_one_is_not(
    tmp_path: Path, stalls: Stalls, side: str
) -> None:
    answer = threading.Event()

    def target(peer: ServerPeer) -> None:
        peer.accept_association()

        def slowly(message: Message) -> tuple[Message, ...]:
            if message.field == Command.C_FIND:
                answer.wait(20)
            return (response(message),)

        with contextlib.suppress(Closed, TimeoutError):
            peer.serve(slowly)

    section = {"association" if side == "hospital" else "scu": {"idle_timeout": IDLE}}
    more = {side: section}
    with (
        ground(tmp_path, *SOLO, hospital=more.get("hospital"), cloud=more.get("cloud")) as where,
        Server(target, port=where.target),
        open_client(where.entry) as idle,
        open_client(where.entry) as waiting,
    ):
        began = time.monotonic()
        assert idle.exchange(request(Command.C_ECHO, 1, VERIFICATION)).status == 0
        waiting.send_message(find_rq(1, 0))
        with pytest.raises(Aborted):
            idle.receive_message()
        assert time.monotonic() - began > IDLE * 0.9
        assert stalls.moved(began) < IDLE + WITHIN - PATIENCE
        waiting.sock.settimeout(IDLE * 1.5)
        with pytest.raises(TimeoutError):
            waiting.read_pdu()
        answer.set()
        waiting.sock.settimeout(20)
        final = waiting.receive_message()
        assert (final.status, final.context_id) == (0, FIND)
        waiting.release()
