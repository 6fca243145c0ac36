"""A full disk and a full spool: clients are told, and nothing that was acknowledged is lost."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path

from tests.durable.disks import disk
from tests.durable.operator import queue
from tests.durable.site import Inbox, Site, message_of, site, store
from tests.support.files import DicomFile, synthetic
from tests.support.ports import reserve_ports
from tests.support.wire import Status, Tag


def fill(where: Site) -> list[DicomFile]:
    """Store until the client is told that there is no room; return what was acknowledged."""
    acknowledged: list[DicomFile] = []
    with where.open() as client:
        for number in range(200):
            content = synthetic(number, 1_000_000)
            status = store(client, content)
            if status == Status.OUT_OF_RESOURCES:
                assert client.echo(context_id=3) == 0, "the association is usable"
                client.release()
                return acknowledged
            assert status == 0
            acknowledged.append(content)
    raise AssertionError("there is always room")


def drained(where: Site, acknowledged: list[DicomFile]) -> None:
    """Let the destination come up, and compare."""
    inbox = Inbox()
    with where.destination(inbox):
        arrived = inbox.wait_for(len(acknowledged))
        assert [got.data for got in arrived] == [content.data for content in acknowledged]
        with where.open() as client:  # there is room again

            def fits() -> bool:
                return store(client, synthetic(999, 100_000)) == 0

            where.wait_until(fits, "there is room again")
        inbox.wait_for(len(acknowledged) + 1)


def unready(port: int) -> str:
    """Return what a process says of its readiness."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            said = answer.read()
    except urllib.error.HTTPError as error:
        said = error.read()
    return str(said.decode().strip())


def test_above_high_water_clients_are_refused_until_it_has_fallen_by_the_margin(tmp_path: Path) -> None:
    port = reserve_ports(5)
    hospital = {
        "spool": {
            "max_bytes": 10 << 20,
            "high_water": {"spool_share": 0.5, "margin": 0.3},
            "look_interval": 0.2,
        },
        "observability": {"http": {"host": "127.0.0.1", "port": port}},
    }
    inbox = Inbox()
    with site(tmp_path, hospital=hospital) as where:
        acknowledged = []
        with where.open() as client:
            for number in range(6):
                content = synthetic(number, 1_000_000)
                if store(client, content) == 0:
                    acknowledged.append(content)
            where.wait_until(lambda: "nearly full" in unready(port), "the front-end isn't ready")
            response = client.exchange(message_of(synthetic(90, 100)))
            assert response.status == Status.OUT_OF_RESOURCES
            assert response.text(Tag.ERROR_COMMENT) == "the queue of this destination is nearly full"
            assert client.echo(context_id=3) == 0, "the association is usable"
        assert len(acknowledged) >= 5
        with where.destination(inbox):
            arrived = inbox.wait_for(len(acknowledged))
            where.wait_until(lambda: unready(port) == "ready", "the front-end is ready again")
            with where.open() as client:
                assert store(client, synthetic(91, 100)) == 0
    assert [got.data for got in arrived] == [content.data for content in acknowledged]


def test_a_spool_that_is_full(tmp_path: Path) -> None:
    with site(tmp_path, hospital={"spool": {"max_bytes": 10 << 20}}) as where:
        acknowledged = fill(where)
        assert 5 < len(acknowledged) < 11
        drained(where, acknowledged)
        where.wait_until(lambda: "nothing waits" in queue(where, "why"), "the spool is empty")


def test_a_disk_that_others_have_filled(tmp_path: Path) -> None:
    with disk(tmp_path, 128) as small:
        directory = tmp_path / "site"
        directory.mkdir()
        (directory / "data").symlink_to(small.mounted)
        spool = {"max_bytes": 40 << 20, "high_water": {"disk_share": 1}, "look_interval": 0.5, "deadline": 10}
        ports = reserve_ports(5)
        http = {"http": {"host": "127.0.0.1", "port": ports}}
        with site(directory, hospital={"spool": spool, "observability": http}) as where:
            other = small.mounted / "other"
            free = os.statvfs(small.mounted).f_bavail * os.statvfs(small.mounted).f_frsize
            with other.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, free - (8 << 20))
            acknowledged = fill(where)
            assert acknowledged
            where.wait_until(
                lambda: "can't be written" in unready(ports), "the front-end says that it isn't ready"
            )
            with where.open() as client:
                response = client.exchange(message_of(synthetic(998, 100)))
                assert response.status == Status.OUT_OF_RESOURCES
                assert "can't be written" in response.text(Tag.ERROR_COMMENT)
            other.unlink()
            where.kill("nats-server")  # it froze the stream at the write error, until it is started again
            where.wait_until(lambda: unready(ports) == "ready", "the front-end is ready again")
            drained(where, acknowledged)
