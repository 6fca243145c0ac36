"""nats-server, when it is killed, may bring removed messages back: what was delivered is no damaged object."""

from __future__ import annotations

from pathlib import Path

import anyio

from dimse_mesh.mesh import JetStream
from dimse_mesh.schemas.addresses import Role
from dimse_mesh.schemas.commitment import Fate
from dimse_mesh.spool import Receipts, SpoolInspector
from tests.durable.operator import dead_letters, numbers
from tests.durable.site import Inbox, Site, site, store
from tests.durable.test_stolen_key import SPOOL, joined
from tests.support.files import synthetic


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
