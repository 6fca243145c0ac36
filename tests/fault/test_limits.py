"""Many executors, one limit: a target never sees more associations than it allows, whoever dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fault.conftest import HANDLERS, TARGET, Ground, each, ground
from tests.support.process import wait_until
from tests.support.scripted import Client, Closed, Rejected, Server, ServerPeer, success
from tests.support.stalls import Stalls

LOCAL_LIMIT = (2, 3, 2)
"""Transient, service provider (presentation), local limit exceeded (PS3.8 §9.3.4)."""


class Counting:
    """A target that counts how many associations it has at once."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, peer: ServerPeer) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            peer.accept_association()
            peer.serve(success)
        except (Closed, TimeoutError):
            pass
        finally:
            with self._lock:
                self.now -= 1


@contextmanager
def counting(port: int) -> Iterator[Counting]:
    """Run a counting target for the length of the block."""
    target = Counting()
    server = Server(target, port=port)
    try:
        yield target
    finally:
        server.stop(check=False)


def try_open(port: int, found: list[Client], refused: list[tuple[int, int, int]]) -> None:
    """Open an association, or note why not."""
    try:
        found.append(Client.open(port, called=TARGET))
    except Rejected as error:
        refused.append(error.triple)


def open_many(port: int, count: int) -> tuple[list[Client], list[tuple[int, int, int]]]:
    """Ask for `count` associations at once; return those that stand, and the rejects."""
    found: list[Client] = []
    refused: list[tuple[int, int, int]] = []
    threads = [threading.Thread(target=try_open, args=(port, found, refused)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    return found, refused


def test_limit_of_a_target_holds_across_executors_that_die_and_come(tmp_path: Path) -> None:
    limit = 5
    instances = [
        ("hospital", "association"),
        *(("hospital", name) for name in HANDLERS),
        *each("scu", 3, "cloud"),
    ]
    with (
        ground(tmp_path, *instances, remote={"max_associations": limit}) as where,
        counting(where.target) as target,
    ):
        for _ in range(2):
            kill_one_and_refill(where, target, limit)
        assert target.most <= limit


def kill_one_and_refill(where: Ground, target: Counting, limit: int) -> None:
    """Fill the target, kill an executor, and fill it again."""
    clients, refused = open_many(where.entry, limit + 9)
    assert len(clients) == limit
    assert refused == [LOCAL_LIMIT] * 9
    where.fleet.kill(where.fleet.of("scu")[0])
    where.fleet.start("cloud", "scu")
    wait_until(lambda: target.now == sum(map(stands, clients)), "associations of the dead executor ended")
    freed = limit - target.now
    more: list[Client] = []

    def refilled() -> bool:
        more.extend(open_many(where.entry, 10)[0])
        return len(more) >= freed

    wait_until(refilled, "slots of the dead executor come free")
    assert len(more) == freed, "and no others"
    for client in clients + more:
        client.close()
    wait_until(lambda: target.now == 0, "all ended")


def stands(client: Client) -> bool:
    """Tell whether an association still works."""
    try:
        return client.echo() == 0
    except (AssertionError, OSError):
        return False


def test_full_executor_says_busy_and_another_takes_it(tmp_path: Path, stalls: Stalls) -> None:
    instances = [
        ("hospital", "association"),
        *(("hospital", name) for name in HANDLERS),
        *each("scu", 2, "cloud"),
    ]
    with (
        ground(tmp_path, *instances, cloud={"scu": {"max_associations": 6}}) as where,
        counting(where.target) as target,
    ):
        clients, refused = open_many(where.entry, 12)
        assert (len(clients), refused) == (12, [])
        assert target.now == 12
        began = time.monotonic()
        _, refused = open_many(where.entry, 1)
        assert refused == [LOCAL_LIMIT]
        assert stalls.moved(began) < 3
        for client in clients:
            client.close()


def test_operations_and_associations_spread_over_instances(tmp_path: Path) -> None:
    instances = [
        *each("association", 2),
        *each("store", 2),
        ("hospital", "query-retrieve"),
        *each("scu", 2, "cloud"),
    ]
    with (
        ground(tmp_path, *instances, hospital={"association": {"reuse_port": True}}) as where,
        counting(where.target),
    ):
        spread = where.fleet.of("association") + where.fleet.of("scu")
        before = {instance: instance.descriptors() for instance in spread}
        clients, refused = open_many(where.entry, 24)
        assert refused == []
        grown = {(i.service, i.pid): i.descriptors() - files for i, files in before.items()}
        assert min(grown.values()) > 1, f"open files grew by {grown}"
        for client in clients:
            assert client.echo() == 0
            client.close()
