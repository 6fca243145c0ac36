"""nats-server, when it is killed, may bring removed messages back: what was delivered is no damaged object."""

from __future__ import annotations

from pathlib import Path

import anyio

from dimse_mesh.mesh import JetStream, NatsSettings, remove_message
from dimse_mesh.schemas.addresses import Role
from dimse_mesh.schemas.commitment import Fate
from dimse_mesh.spool import Receipts, SpoolInspector
from tests.durable.operator import dead_letters, numbers
from tests.durable.site import Inbox, Site, site, store
from tests.durable.test_stolen_key import SPOOL, joined
from tests.support.bus import address, join
from tests.support.files import synthetic
from tests.support.nats import nats_server


async def _note_delivered(where: Site, count: int, *, with_pieces: bool) -> None:
    """Say of the first objects that wait that they were delivered; remove the pieces of all, or leave them."""
    async with joined(where, Role.DELIVERY, zone="cloud", instance="former") as mesh:
        jetstream = JetStream(mesh, deadline=30)
        await jetstream.start()
        receipts = Receipts(jetstream, SPOOL)
        found = [spooled async for spooled in SpoolInspector(jetstream, SPOOL).objects()]
        for number, spooled in enumerate(found):
            if number < count:
                await receipts.write(spooled.manifest, spooled.sequence, Fate.DELIVERED)
            assert with_pieces or await jetstream.purge(SPOOL.stream, SPOOL.chunk(spooled.manifest.object_id))


def test_a_manifest_without_its_pieces_is_done_with_where_a_receipt_says_so(tmp_path: Path) -> None:
    sent = [synthetic(number, 1_200_000) for number in range(3)]
    with site(tmp_path) as where:
        with where.open() as client:
            for content in sent:
                assert store(client, content) == 0
        anyio.run(lambda: _note_delivered(where, 2, with_pieces=False))
        where.kill("cloud/delivery")  # it had read them
        inbox = Inbox()
        with where.destination(inbox):
            where.wait_until(lambda: numbers(where)["waiting"] == 0, "nothing waits")
        assert [letter["sop_instance"] for letter in dead_letters(where)] == [sent[2].sop_instance]
        assert inbox.instances == []


def test_what_a_receipt_says_is_delivered_is_not_sent_again(tmp_path: Path) -> None:
    sent = [synthetic(number, 1_200_000) for number in range(3)]
    with site(tmp_path) as where:
        with where.open() as client:
            for content in sent:
                assert store(client, content) == 0
        anyio.run(lambda: _note_delivered(where, 2, with_pieces=True))
        where.kill("cloud/delivery")  # before it has removed what it had delivered
        inbox = Inbox()
        with where.destination(inbox):
            where.wait_until(lambda: numbers(where)["waiting"] == 0, "nothing waits")
        assert inbox.instances == [sent[2].sop_instance]
        assert dead_letters(where) == []


async def _found(jetstream: JetStream) -> list[int]:
    found = await jetstream.read("S", "s", count=100, max_bytes=100 << 20)
    return [message.sequence for message in found.messages]


def test_nats_server_keeps_an_empty_file_for_what_it_tells_of_others_and_brings_its_last_message_back(
    tmp_path: Path,
) -> None:
    """It says what the spool is up against (2.15.1), and would fail if a later nats-server had mended it."""

    async def store_and_remove(url: str) -> None:
        async with join(NatsSettings(servers=[url]), address()) as mesh:
            jetstream = JetStream(mesh, deadline=10)
            await jetstream.start()
            await jetstream.ensure_stream({"name": "S", "subjects": ["s"], "allow_direct": True})
            for number in range(1, 23):  # ten in a file of 8 MiB
                assert await jetstream.publish("s", bytes(800_000), message_id=str(number)) == number
                if number == 12:
                    await remove_message(jetstream, "S", 2, is_it=lambda _: True)
            for number in range(3, 22):
                await remove_message(jetstream, "S", number, is_it=lambda _: True)
            assert await _found(jetstream) == [1, 22]

    async def look(url: str) -> list[int]:
        async with join(NatsSettings(servers=[url]), address()) as mesh:
            jetstream = JetStream(mesh, deadline=10)
            await jetstream.start()
            return await _found(jetstream)

    with nats_server(tmp_path, every_write_synced=True) as server:
        anyio.run(store_and_remove, server.url)
        server.restart()
        assert anyio.run(look, server.url) == [1, 20, 22]
