"""Zones with servers of their own: what one keeps another one delivers, and nothing else crosses."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr

from dimse_mesh.mesh import JetStream, NatsSettings, NoResponders
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.events import EventKind
from dimse_mesh.schemas.spool_subjects import every_spool
from tests.durable.apart import DOMAIN, SPOOL, Sites, sites
from tests.durable.site import ARCHIVE, CONTEXTS, Inbox, served, store
from tests.support.bus import join
from tests.support.files import synthetic
from tests.support.permitted import TEST_USER
from tests.support.ports import reserve_port
from tests.support.process import wait_until
from tests.support.scripted import Client


@pytest.mark.parametrize("cloud_has_leaf", [False, True], ids=["cloud at the hub", "cloud at its own leaf"])
def test_what_one_zone_keeps_another_one_delivers(tmp_path: Path, cloud_has_leaf: bool) -> None:
    slices = [synthetic(3 + number, 650_000) for number in range(6)]  # as large as one message may be
    contents = [synthetic(1, 20_000), synthetic(2, 3_000_000), *slices]
    inbox, target = Inbox(), reserve_port()
    with sites(tmp_path, target=target, cloud_has_leaf=cloud_has_leaf, events=True) as made:
        with Client.open(made.entry, called=ARCHIVE, calling="CT1", contexts=CONTEXTS, timeout=60) as client:
            for number, content in enumerate(contents[:-1], 1):
                assert store(client, content, number) == 0
            with served(target, inbox.script):
                inbox.wait_for(len(contents) - 1)
                assert (
                    store(client, contents[-1], len(contents)) == 0
                )  # one that comes while the queue is empty
                arrived = inbox.wait_for(len(contents))
        assert [one.data for one in arrived] == [content.data for content in contents]
        wait_until(
            lambda: made.told(EventKind.OBJECT_DELIVERED) == len(contents),
            "the hospital knows of the deliveries",
            timeout=60,
        )
        assert made.told(EventKind.OBJECT_ACCEPTED) == len(contents)
        assert made.denials() == []
        if cloud_has_leaf:
            anyio.run(_reach_for_more, made)


async def _reach_for_more(made: Sites) -> None:
    """Ask as whoever may do everything at the cloud's own server: the hub lets through what a delivery needs."""
    settings = NatsSettings(
        servers=[made.servers["cloud"].url], user=TEST_USER, password=SecretStr(TEST_USER)
    )
    async with join(settings, InstanceAddress("cloud", Role.DELIVERY, "evil")) as mesh:
        jetstream = JetStream(mesh, domain=DOMAIN, deadline=10)
        await jetstream.start()
        assert SPOOL.stream in await jetstream.streams(every_spool("DIMSE"))
        other = SPOOL._replace(name="OTHER").stream
        for verb in (
            *(f"STREAM.{verb}.{SPOOL.stream}" for verb in ("UPDATE", "DELETE", "SNAPSHOT")),
            *(f"STREAM.{verb}.{SPOOL.state_stream}" for verb in ("INFO", "PURGE", "DELETE")),
            *(f"{verb}.{other}" for verb in ("STREAM.CREATE", "STREAM.INFO", "DIRECT.GET")),
            f"CONSUMER.CREATE.{SPOOL.stream}",
            f"DIRECT.GET.{SPOOL.state_stream}",
            "INFO",
        ):
            with pytest.raises(NoResponders):
                await jetstream.request(verb)
        for subject in (SPOOL.chunk("0" * 32), SPOOL.object(calling_ae="CT1", study="0")):
            mesh.publish(subject, b"forged")
        with anyio.fail_after(30):  # what was delivered is removed; what is forged would stay
            while await jetstream.count(SPOOL.stream, ">"):
                pass
