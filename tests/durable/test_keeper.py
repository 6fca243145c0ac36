"""Pieces of objects that were never whole are removed; what waits stays."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio

from dimse_mesh.app.queue import open_queues
from dimse_mesh.runtime.settings import load_settings
from tests.durable.operator import numbers
from tests.durable.site import ARCHIVE, Inbox, Site, message_of, site, store
from tests.support.files import synthetic
from tests.support.wire import p_data


async def _orphans(where: Site) -> int:
    async with open_queues(load_settings(where.hospital)) as queues:
        return len(await queues.inspector(ARCHIVE).orphans())


def test_what_a_killed_front_end_has_left(tmp_path: Path) -> None:
    waiting = synthetic(1, 3_000_000)
    half = p_data(message_of(synthetic(2, 8_000_000)), max_pdu=65536)
    with site(tmp_path, hospital={"spool": {"max_bytes": 1 << 30, "sweep_interval": 1.0}}) as where:
        with where.open() as client:
            assert store(client, waiting) == 0
        broken = where.open()
        broken.send(half[: len(half) // 2])
        where.wait_until(lambda: anyio.run(partial(_orphans, where)) == 1, "pieces are in the spool")
        where.kill("hospital/association")
        broken.close()
        where.wait_until(lambda: anyio.run(partial(_orphans, where)) == 0, "they are removed")
        assert numbers(where)["waiting"] == 1
        inbox = Inbox()
        with where.destination(inbox):
            assert inbox.wait_for(1)[0].data == waiting.data
