"""The hospital keeps on its own nats-server, a leaf with a JetStream domain; the cloud delivers from behind the hub.

Users, permissions, exports and imports are those of `dimse-mesh nats-config`: nothing else crosses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio
from pydantic import SecretStr

from dimse_mesh.mesh import JetStream, NatsSettings
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.event_subjects import event_interest, event_stream
from dimse_mesh.schemas.events import EventKind
from dimse_mesh.schemas.spool import QueuePause
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects
from dimse_mesh.spool import SpoolInspector
from tests.durable.site import ARCHIVE
from tests.fault.fleet import Fleet, fleet
from tests.fault.relay import Relay
from tests.support.bus import join
from tests.support.mesh import zone_config
from tests.support.nats import NatsServer, nats_server
from tests.support.permitted import TEST_USER, Bus
from tests.support.ports import reserve_port

Answer = TypeVar("Answer")

DOMAIN = "ward"
SPOOL = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, ARCHIVE)
SERVICES = (("hospital", "store"), ("hospital", "association"), ("cloud", "scu"), ("cloud", "delivery"))


@dataclass(slots=True)
class Sites:
    """Where the parts are."""

    services: Fleet
    servers: dict[str, NatsServer]
    """The hub, and the servers of the zones that have their own."""
    line: Relay
    """What the hospital's server joins the hub through."""
    entry: int
    """Port of the hospital's listener."""

    def kept(self) -> int:
        """Return how many messages are in the spool, of whichever kind."""
        return sum(self.kinds().values())

    def kinds(self) -> dict[str, int]:
        """Return how many messages of each kind are in the spool: object, failed, chunk, acknowledged, and so on."""
        counts = self._beside(lambda jetstream: jetstream.counts(SPOOL.stream, ">"))
        found: Counter[str] = Counter()
        for subject, count in counts.items():
            found[subject.split(".")[5]] += count
        return dict(found)

    def told(self, kind: EventKind) -> int:
        """Return how many events of a kind the hospital keeps."""
        return self._count(event_stream("DIMSE", "hospital"), event_interest("DIMSE", "hospital", kind))

    def set_pause(self, pause: QueuePause) -> None:
        """Say what an operator of the hospital says."""
        self._beside(lambda jetstream: SpoolInspector(jetstream, SPOOL).set_pause(pause))

    def sentence(self) -> str:
        """Return what the delivery service has said of the queue last, as the hospital knows it."""
        status = self._beside(lambda jetstream: SpoolInspector(jetstream, SPOOL).status())
        return "" if status is None else status.sentence

    def _count(self, stream: str, subject: str) -> int:
        return self._beside(lambda jetstream: jetstream.count(stream, subject))

    def _beside(self, ask: Callable[[JetStream], Awaitable[Answer]]) -> Answer:
        async def run() -> Answer:
            settings = NatsSettings(
                servers=[self.servers["hospital"].url], user=TEST_USER, password=SecretStr(TEST_USER)
            )
            async with join(settings, InstanceAddress("hospital", Role.COMMAND, "beside")) as mesh:
                jetstream = JetStream(mesh, domain=DOMAIN, deadline=10)
                await jetstream.start()
                return await ask(jetstream)

        return anyio.run(run)

    def denials(self) -> list[str]:
        """Return what the servers have refused."""
        return [
            line
            for server in self.servers.values()
            for line in server.log.read_text().splitlines()
            if "Violation" in line
        ]


@contextmanager
def sites(
    directory: Path, *, target: int, cloud_has_leaf: bool = False, events: bool = False
) -> Iterator[Sites]:
    """Start a hub, the hospital's leaf, perhaps the cloud's, and what a durable route needs.

    `target` is the port where the destination is expected.
    """
    entry, port = reserve_port(), reserve_port()
    configs = [
        zone_config(
            "hospital",
            listener=entry,
            routes=[{"to": {"ae": ARCHIVE}, "delivery": "durable"}],
            more={
                "spool": {"domain": DOMAIN, "max_bytes": 1 << 30, "sweep_interval": 10.0, "deadline": 15.0},
                "association": {"stalled_read_timeout": 5.0},
                "events": {"enabled": events},
            },
        ),
        zone_config(
            "cloud",
            remote_aes=[{"ae_title": ARCHIVE, "host": "127.0.0.1", "port": target}],
            more={
                "delivery": {
                    "domains": [DOMAIN],
                    "look_interval": 0.2,
                    "retry": {"first": 0.2, "longest": 1.0},
                },
                "events": {"enabled": events},
            },
        ),
    ]
    bus = Bus.of(directory / "bus", configs)
    with ExitStack() as stack:
        hub = stack.enter_context(nats_server(directory / "hub", config=bus.hub(port)))
        line = stack.enter_context(Relay(port))
        leaf = stack.enter_context(
            nats_server(
                directory / "leaf",
                config=bus.leaf("hospital", line.port),
                domain=DOMAIN,
                every_write_synced=True,
            )
        )
        servers = {"hub": hub, "hospital": leaf}
        if cloud_has_leaf:
            servers["cloud"] = stack.enter_context(
                nats_server(directory / "cloud", config=bus.leaf("cloud", port), domain="sky")
            )
        services = stack.enter_context(fleet(directory / "services"))
        services.zone(configs[0], bus.access("hospital", leaf.url))
        services.zone(configs[1], bus.access("cloud", servers.get("cloud", hub).url))
        services.start_all(*SERVICES)
        yield Sites(services, servers, line, entry)
