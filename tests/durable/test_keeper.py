"""Pieces of objects that were never whole are removed; what waits stays."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio

from dimse_mesh.app.queue import open_queues
from dimse_mesh.mesh import JetStream, pack
from dimse_mesh.runtime.settings import load_settings
from dimse_mesh.schemas.acknowledged import AcknowledgedObjects
from dimse_mesh.schemas.addresses import Role
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects
from tests.durable.operator import numbers
from tests.durable.site import ARCHIVE, Inbox, Site, message_of, site, store
from tests.durable.test_stolen_key import joined
from tests.fault.fleet import fleet
from tests.support.files import synthetic
from tests.support.mesh import zone_config
from tests.support.permitted import permitted_server
from tests.support.wire import p_data

NOBODY = "NOBODY"
"""An AE that no zone has."""


async def _orphans(where: Site) -> int:
    async with open_queues(load_settings(where.hospital)) as queues:
        return len((await queues.inspector(ARCHIVE).orphans()).pieces)


def test_what_a_killed_front_end_has_left(tmp_path: Path) -> None:
    waiting = synthetic(1, 3_000_000)
    half = p_data(message_of(synthetic(2, 8_000_000)), max_pdu=65536)
    hospital = {
        "spool": {"max_bytes": 1 << 30, "sweep_interval": 1.0, "deadline": 2.0},
        "association": {"stalled_read_timeout": 1.0},
    }
    with site(tmp_path, hospital=hospital) as where:
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


def test_what_a_client_has_left_that_broke_off(tmp_path: Path) -> None:
    half = p_data(message_of(synthetic(1, 8_000_000)), max_pdu=65536)
    with site(tmp_path) as where:
        broken = where.open()
        broken.send(half[: len(half) // 2])
        where.wait_until(lambda: anyio.run(partial(_orphans, where)) == 1, "pieces are in the spool")
        broken.close()
        where.wait_until(lambda: anyio.run(partial(_orphans, where)) == 0, "they are removed at once")


def test_a_front_end_waits_until_its_spools_are_made(tmp_path: Path) -> None:
    config = zone_config("hospital", listener=0, routes=[{"to": {"ae": ARCHIVE}, "delivery": "durable"}])
    with permitted_server(tmp_path, [config]) as (server, bus), fleet(tmp_path / "fleet") as services:
        services.zone(config, bus.access("hospital", server.url))
        front_end = services.start("hospital", "association", wait=False)
        stopped = services.start("hospital", "association", wait=False)
        for waiting in (front_end, stopped):
            waiting.child.wait_for_line(
                "the spool of ARCHIVE isn't made yet; waiting for the C-STORE handler"
            )
        assert services.retire(stopped) == 0
        assert "ready" not in front_end.child.output.splitlines()
        services.start("hospital", "store")
        front_end.wait_ready()


async def _names(where: Site, write: Sequence[float]) -> int:
    """Write messages of names, as of these times; return how many stand there."""
    spool = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, NOBODY)
    async with joined(where, Role.ASSOCIATION) as mesh:
        jetstream = JetStream(mesh, deadline=30)
        await jetstream.start()
        for written in write:
            message = pack(AcknowledgedObjects(names=(), written=written))
            await jetstream.publish(spool.acknowledged("former"), message, message_id=f"{written}")
    async with open_queues(load_settings(where.hospital)) as queues:
        return await queues.jetstream.count(spool.stream, spool.acknowledged("*"))


def test_names_that_no_delivery_service_reads_go_one_day(tmp_path: Path) -> None:
    hospital = {
        "spool": {"max_bytes": 1 << 30, "sweep_interval": 1.0, "deadline": 2.0},
        "association": {"stalled_read_timeout": 1.0},
    }
    elsewhere = {"called": NOBODY, "to": {"ae": NOBODY}, "delivery": "durable"}
    with site(tmp_path, hospital=hospital, more_routes=[elsewhere]) as where:
        anyio.run(partial(_names, where, [1.0, 2.0, time.time()]))
        where.wait_until(lambda: anyio.run(partial(_names, where, [])) == 1, "the old ones are removed")
        with where.open(called=NOBODY) as client:
            assert store(client, synthetic(1, 1_000)) == 0
        where.wait_until(lambda: anyio.run(partial(_names, where, [])) == 2, "the object has a name")
