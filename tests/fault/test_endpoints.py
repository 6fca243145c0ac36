"""Front-ends and executors die: the surviving peer is told at once, and the next association goes to another."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.archive import STORE
from tests.fault.clients import is_told, open_client
from tests.fault.conftest import HANDLERS, HOSTED, TARGET, Ground, each, ground
from tests.support.mesh import Ae, two_zones
from tests.support.ports import reserve_port
from tests.support.process import wait_until
from tests.support.scripted import Aborted, Closed, Server, ServerPeer, success
from tests.support.stalls import Stalls
from tests.support.wire import RELEASE_RP_PDU, Message, PduType, fragments, pdu, store_rq

TOLD_WITHIN = 3.0


class Target:
    """Accepts, serves, and notes when and how each association ended."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, int]] = []
        self.ended = threading.Event()

    def __call__(self, peer: ServerPeer) -> None:
        peer.accept_association()
        while True:
            try:
                received = peer.receive()
            except Closed:
                self._end(0)
                return
            if isinstance(received, Message):
                for message in success(received):
                    peer.send_message(message)
                continue
            if received.kind == PduType.RELEASE_RQ:
                peer.send(RELEASE_RP_PDU)
            self._end(received.kind)
            return

    def _end(self, kind: int) -> None:
        self.ends.append((time.monotonic(), kind))
        self.ended.set()


@pytest.fixture(scope="module", params=[False, True], ids=["handlers apart", "handlers hosted"])
def pairs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A mesh with two front-ends and two executors."""
    hosted = bool(request.param)
    services = [*each("association", 2), *each("scu", 2, "cloud")]
    services += [] if hosted else [("hospital", name) for name in HANDLERS]
    hospital = {"association": {"reuse_port": True, "hosted_handlers": HOSTED if hosted else []}}
    with ground(tmp_path_factory.mktemp("pairs"), *services, hospital=hospital) as where:
        yield where


@pytest.mark.parametrize("victim", ["scu", "association"])
def test_peers_of_a_killed_endpoint_are_told_and_another_takes_over(
    pairs: Ground, stalls: Stalls, victim: str
) -> None:
    target = Target()
    with Server(target, port=pairs.target) as server:
        held = [open_client(pairs.entry) for _ in range(16)]
        half = list(fragments(store_rq(1, "1.2.3", bytes(2_000_000), context_id=STORE), [16378]))
        for client in held[:4]:
            client.send(b"".join(pdu(4, value) for value in half[: len(half) // 2]))
        server.wait_for_peers(16)
        dead = pairs.fleet.of(victim)[0]
        pairs.fleet.kill(dead)
        killed = time.monotonic()
        for _ in range(4):
            with open_client(pairs.entry) as client:
                assert client.echo() == 0
                client.release()
        took_over = stalls.moved(killed)
        assert took_over < TOLD_WITHIN, f"new associations waited {took_over:.1f} s for another {victim}"
        told = sum(is_told(client, killed, stalls, within=TOLD_WITHIN) for client in held)
        assert 0 < told < 16, f"{told} of 16 associations ran through the killed {victim}"
        if victim == "association":
            wait_until(lambda: len(target.ends) >= told + 4, "targets of a dead front-end are told")
            last = max(when for when, kind in target.ends if kind != PduType.RELEASE_RQ)
            assert stalls.moved(killed, last) < TOLD_WITHIN
            assert all(kind != 0 for _, kind in target.ends), "a target was not told by A-ABORT"
        for client in held:
            client.close()
    pairs.fleet.start(dead.zone, dead.service)


@pytest.mark.parametrize("service", ["association", "scu"])
def test_supervisor_has_a_killed_endpoint_back_within_two_seconds(
    tmp_path: Path, stalls: Stalls, service: str
) -> None:
    target = Ae(TARGET, reserve_port(), "cloud")
    zone = "hospital" if service == "association" else "cloud"
    with two_zones(tmp_path, target=target) as mesh, Server(Target(), port=target.port):
        entry = mesh.listeners["hospital"]
        survivor = open_client(entry)
        pids = mesh.pids()
        killed = time.monotonic()
        os.kill(pids[f"{zone}/{service}"], signal.SIGKILL)
        if service == "scu":
            with pytest.raises(Aborted):
                survivor.receive_message()
            assert stalls.moved(killed) < TOLD_WITHIN
        survivor.close()

        def back() -> bool:
            try:
                with open_client(entry, timeout=5) as client:
                    assert client.echo() == 0
                    client.release()
            except (OSError, Closed, AssertionError):
                return False
            return True

        wait_until(back, f"{service} is back")
        assert stalls.moved(killed) < 2.0 + 0.5
