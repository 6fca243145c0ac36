"""A full disk and a full spool: clients are told, and nothing that was acknowledged is lost."""

from __future__ import annotations

import os
from pathlib import Path

from tests.durable.disks import disk
from tests.durable.operator import queue
from tests.durable.site import Inbox, Site, site, store
from tests.support.files import DicomFile, synthetic

OUT_OF_RESOURCES = 0xA700


def fill(where: Site) -> list[DicomFile]:
    """Store until the client is told that there is no room; return what was acknowledged."""
    acknowledged: list[DicomFile] = []
    with where.open() as client:
        for number in range(200):
            content = synthetic(number, 1_000_000)
            status = store(client, content)
            if status == OUT_OF_RESOURCES:
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
        with site(directory, hospital={"spool": {"max_bytes": 40 << 20}}) as where:
            other = small.mounted / "other"
            free = os.statvfs(small.mounted).f_bavail * os.statvfs(small.mounted).f_frsize
            with other.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, free - (8 << 20))
            acknowledged = fill(where)
            assert acknowledged
            other.unlink()
            where.kill("nats-server")  # it froze the stream at the write error, until it is started again
            drained(where, acknowledged)
