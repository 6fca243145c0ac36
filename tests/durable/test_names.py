"""An acknowledged object of which nothing is left on the disk is named; all others arrive, and no other is named."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio
import pytest

from dimse_mesh.app.queue import open_queues
from dimse_mesh.runtime.settings import load_settings
from dimse_mesh.schemas.spool_subjects import ANY_TOKEN
from tests.durable.block_files import blocks_with, flip_in, flip_in_manifest
from tests.durable.modality import Modality, has_all
from tests.durable.operator import damaged, dead_letters, numbers, queue
from tests.durable.site import ARCHIVE, Inbox, Site, served, site, store
from tests.durable.test_encrypted import sections
from tests.support.encryption import encryption_of
from tests.support.files import DicomFile, synthetic
from tests.support.mesh import Ae
from tests.support.ports import reserve_port

SMALL = 20_000
LARGE = 1_200_000
"""Of an object of several messages."""


def acknowledge(where: Site, sent: list[DicomFile], *, calling: str = "CT1") -> None:
    """Store objects as a modality that is told of each that it is safe."""
    with where.open(calling=calling) as client:
        for content in sent:
            assert store(client, content) == 0
        client.release()


async def _names(where: Site) -> int:
    """Return how many messages of names the spool has."""
    async with open_queues(load_settings(where.hospital)) as queues:
        spool = queues.inspector(ARCHIVE).spool
        return await queues.jetstream.count(spool.stream, spool.acknowledged(ANY_TOKEN))


def check_named(where: Site, inbox: Inbox, sent: list[DicomFile], lost: list[DicomFile]) -> None:
    """Wait until what is lost is named and all else has arrived."""
    good = [content for content in sent if content not in lost]
    arrived = inbox.wait_for(len(good))
    assert sorted((got.instance, got.data) for got in arrived) == sorted(
        (content.sop_instance, content.data) for content in good
    )
    where.wait_until(lambda: len(dead_letters(where)) >= len(lost), "what is lost is among the dead letters")
    letters = {letter["sop_instance"]: letter for letter in dead_letters(where)}
    assert letters.keys() == {content.sop_instance for content in lost}
    for content in lost:
        assert letters[content.sop_instance]["cause"] == "damaged"
        assert letters[content.sop_instance]["size"] == len(content.data)
        assert f"{content.sop_instance}  from CT1 for {ARCHIVE}" in damaged(where)
    where.wait_until(lambda: numbers(where)["waiting"] == 0, "nothing waits")


@pytest.mark.parametrize("which", ["first", "middle", "last"])
@pytest.mark.parametrize("associations", [1, 3])
def test_a_small_object_whose_bit_flips_while_the_store_is_stopped(
    tmp_path: Path, which: str, associations: int
) -> None:
    sent = [synthetic(number, SMALL, study=number) for number in range(5)]
    lost = sent[{"first": 0, "middle": 2, "last": 4}[which]]
    cloud = {
        "delivery": {
            "retry": {"first": 0.2, "longest": 1.0},
            "look_interval": 0.5,
            "max_associations": associations,
        }
    }
    with site(tmp_path, cloud=cloud) as where:
        port = where.port
        acknowledge(where, sent)
    flip_in(tmp_path / "data", lost, 10_000)
    inbox = Inbox()
    with site(tmp_path, cloud=cloud, port=port) as where, where.destination(inbox):
        check_named(where, inbox, sent, [lost])


def test_the_manifest_of_a_large_object(tmp_path: Path) -> None:
    sent = [synthetic(number, LARGE, study=number) for number in range(3)]
    with site(tmp_path) as where:
        port = where.port
        acknowledge(where, sent)
    flip_in_manifest(tmp_path / "data", sent[1])
    inbox = Inbox()
    with site(tmp_path, port=port) as where, where.destination(inbox):
        check_named(where, inbox, sent, [sent[1]])
        queue(where, "retry", ARCHIVE, code=0)
        assert len(dead_letters(where)) == 1, "nothing is left that could be tried again"
        queue(where, "drop", ARCHIVE, "--yes")
        queue(where, "damaged")


def test_a_whole_block_file_that_is_gone(tmp_path: Path) -> None:
    sent = [synthetic(number, 60_000, study=number) for number in range(600)]
    with site(tmp_path) as where:
        port = where.port
        acknowledge(where, sent)
    path, _ = next(blocks_with(tmp_path / "data", sent[0].data[:200]))
    block = path.read_bytes()
    lost = [content for content in sent if content.data[:200] in block]
    assert 100 < len(lost) < len(sent) // 3
    path.unlink()
    inbox = Inbox()
    with site(tmp_path, port=port) as where, where.destination(inbox):
        arrived = inbox.wait_for(len(sent) - len(lost), timeout=60)
        assert len(arrived) == len(sent) - len(lost)
        where.wait_until(lambda: numbers(where)["failed"] >= len(lost), "all that is lost is named")
        said = {line.split()[0] for line in damaged(where).splitlines()}
        assert said == {content.sop_instance for content in lost}


def test_a_bit_flips_and_nats_server_is_killed(tmp_path: Path) -> None:
    """It drops what stands behind the damage in the same file, names included; the front-end has them still."""
    sent = [synthetic(number, SMALL, study=number) for number in range(5)]
    inbox = Inbox()
    with site(tmp_path) as where:
        acknowledge(where, sent)
        where.wait_until(lambda: any(blocks_with(tmp_path / "data", b'"names":[')), "names are written")
        flip_in(tmp_path / "data", sent[2], 10_000)
        for victim in ("nats-server", "cloud/delivery"):  # which may have read them before
            where.kill(victim)
        with where.destination(inbox):
            check_named(where, inbox, sent, sent[2:])


def test_who_is_killed_makes_nobody_name_what_was_delivered(tmp_path: Path) -> None:
    inbox = Inbox()
    with site(tmp_path) as where, where.destination(inbox):
        with Modality(where, "CT1", 1) as modality:
            for victim in ("cloud/delivery", "hospital/association", "nats-server", "cloud/delivery"):
                seen = len(modality.acknowledged)
                where.kill(victim)
                where.wait_until(partial(modality.has_more_than, seen + 8), "it stores again")
        where.wait_until(partial(has_all, inbox, modality), "everything acknowledged arrives")
        # Pieces of what a killed front-end had half stay for the keeper.
        where.wait_until(lambda: anyio.run(_names, where) == 0, "names are done with, too")
        assert dead_letters(where) == []


def test_what_an_operator_takes_out_is_not_named(tmp_path: Path) -> None:
    sent = [synthetic(number, SMALL, study=number) for number in range(4)]
    inbox = Inbox()
    with site(tmp_path, route={"commitment": "none"}) as where:
        queue(where, "pause", ARCHIVE, "--reason", "for a while")
        acknowledge(where, sent)
        queue(where, "drop", ARCHIVE, sent[1].sop_instance, "--waiting", "--yes")
        with where.destination(inbox):
            queue(where, "resume", ARCHIVE)
            inbox.wait_for(3)
            where.wait_until(lambda: numbers(where)["bytes"] == 0, "names are done with")
        assert dead_letters(where) == []


def test_two_destinations_each_name_what_they_have_lost(tmp_path: Path) -> None:
    second = Ae("SECOND", reserve_port(), "cloud")
    sent = [synthetic(number, size, study=number) for number, size in enumerate((1_000, LARGE, 1_000))]
    route = {"to": [{"ae": ARCHIVE}, {"ae": second.title}]}
    with site(tmp_path, route=route, more_aes=[second]) as where:
        port = where.port
        acknowledge(where, sent)
    flip_in(tmp_path / "data", sent[0], 500)  # of ARCHIVE's own copy: the first file in order
    inbox, other = Inbox(), Inbox()
    with (
        site(tmp_path, route=route, more_aes=[second], port=port) as where,
        where.destination(inbox),
        served(second.port, other.script),
    ):
        other.wait_for(3)
        check_named(where, inbox, sent, [sent[0]])
        assert numbers(where, second.title)["failed"] == 0


@pytest.mark.parametrize("before", [True, False])
def test_hooks(tmp_path: Path, before: bool) -> None:
    sent = [synthetic(number, SMALL, study=number) for number in range(3)]
    route = {"hooks": [{"set": {"InstitutionName": "X"}}]}
    spool = f"hooks:{ARCHIVE}" if before else ARCHIVE
    inbox = Inbox()
    with site(tmp_path, route=route) as where:
        port = where.port
        if before:
            queue(where, "pause", spool, "--reason", "for a while")
        acknowledge(where, sent)
        if not before:
            where.wait_until(lambda: numbers(where)["waiting"] == 3, "the hooks have had them")
    flip_in(next((tmp_path / "data").rglob(f"*~{'ae_hooks' if before else 'ae'}~{ARCHIVE}")), sent[1], 10_000)
    with site(tmp_path, route=route, port=port) as where, where.destination(inbox):
        if before:
            queue(where, "resume", spool)
        inbox.wait_for(2)
        where.wait_until(lambda: numbers(where, spool)["failed"] == 1, "what is lost is named")
        assert sent[1].sop_instance in queue(where, "damaged", spool, code=1)
        assert len(inbox.instances) == 2


def test_encrypted_zones(tmp_path: Path) -> None:
    keys = sections(encryption_of(tmp_path, "hospital", "cloud"))
    sent = [synthetic(number, SMALL, study=number) for number in range(3)]
    with site(tmp_path, **keys) as where:
        port = where.port
        acknowledge(where, sent)
    flip_in_manifest(tmp_path / "data", sent[2])
    inbox = Inbox()
    with site(tmp_path, port=port, **keys) as where, where.destination(inbox):
        check_named(where, inbox, sent, [sent[2]])
        queue(where, "retry", ARCHIVE)
        assert len(dead_letters(where)) == 1
