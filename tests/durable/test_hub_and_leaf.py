"""The hospital keeps on its own nats-server, a leaf with a JetStream domain; the cloud delivers from behind the hub.

Users, permissions, exports and imports are those of `dimse-mesh nats-config`: nothing else crosses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr

from dimse_mesh.mesh import JetStream, NatsSettings, NoResponders
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects, every_spool
from tests.durable.site import ARCHIVE, CONTEXTS, Inbox, served, store
from tests.fault.fleet import Fleet, fleet
from tests.support.bus import join
from tests.support.files import synthetic
from tests.support.mesh import zone_config
from tests.support.nats import NatsServer, nats_server
from tests.support.permitted import TEST_USER, Bus
from tests.support.ports import reserve_port
from tests.support.scripted import Client

DOMAIN = "ward"
SPOOL = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, ARCHIVE)


@dataclass(slots=True)
class Sites:
    """Where the parts are."""

    services: Fleet
    servers: dict[str, NatsServer]
    entry: int
    target: int

    def denials(self) -> list[str]:
        """Return what the servers have refused."""
        return [
            line
            for server in self.servers.values()
            for line in server.log.read_text().splitlines()
            if "Violation" in line
        ]


@contextmanager
def sites(directory: Path, *, cloud_has_leaf: bool) -> Iterator[Sites]:
    """Start a hub, the hospital's leaf, perhaps the cloud's, and what a durable route needs."""
    entry, target, port = reserve_port(), reserve_port(), reserve_port()
    configs = [
        zone_config(
            "hospital",
            listener=entry,
            routes=[{"to": {"ae": ARCHIVE}, "delivery": "durable"}],
            more={"spool": {"domain": DOMAIN, "max_bytes": 1 << 30}},
        ),
        zone_config(
            "cloud",
            remote_aes=[{"ae_title": ARCHIVE, "host": "127.0.0.1", "port": target}],
            more={"delivery": {"domains": [DOMAIN], "look_interval": 0.2, "retry": {"first": 0.2}}},
        ),
    ]
    bus = Bus.of(directory / "bus", configs)
    with ExitStack() as stack:
        hub = stack.enter_context(nats_server(directory / "hub", config=bus.hub(port)))
        leaf = stack.enter_context(
            nats_server(directory / "leaf", config=bus.leaf("hospital", port), domain=DOMAIN)
        )
        servers = {"hub": hub, "hospital": leaf}
        if cloud_has_leaf:
            servers["cloud"] = stack.enter_context(
                nats_server(directory / "cloud", config=bus.leaf("cloud", port), domain="sky")
            )
        services = stack.enter_context(fleet(directory / "services"))
        services.zone(configs[0], bus.access("hospital", leaf.url))
        services.zone(configs[1], bus.access("cloud", servers.get("cloud", hub).url))
        services.start_all(
            ("hospital", "store"), ("hospital", "association"), ("cloud", "scu"), ("cloud", "delivery")
        )
        yield Sites(services, servers, entry, target)


@pytest.mark.parametrize("cloud_has_leaf", [False, True], ids=["cloud at the hub", "cloud at its own leaf"])
def test_what_one_zone_keeps_another_one_delivers(tmp_path: Path, cloud_has_leaf: bool) -> None:
    contents = [synthetic(1, 20_000), synthetic(2, 3_000_000), synthetic(3, 20_000)]
    inbox = Inbox()
    with sites(tmp_path, cloud_has_leaf=cloud_has_leaf) as made:
        with Client.open(made.entry, called=ARCHIVE, calling="CT1", contexts=CONTEXTS, timeout=60) as client:
            for number, content in enumerate(contents[:2], 1):
                assert store(client, content, number) == 0
            with served(made.target, inbox.script):
                inbox.wait_for(2)
                assert store(client, contents[2], 3) == 0  # one that comes while the queue is empty
                arrived = inbox.wait_for(3)
        assert [one.data for one in arrived] == [content.data for content in contents]
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
