"""Two zones of separate processes on a nats-server of their own, and an archive that keeps books."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fault.archive import Answer, Archive, archive
from tests.fault.fleet import Fleet, fleet
from tests.fault.ledger import Ledger
from tests.fault.relay import Relay
from tests.support.mesh import zone_config
from tests.support.nats import NatsServer, nats_server
from tests.support.permitted import Bus
from tests.support.ports import reserve_port
from tests.support.scripted import Server

TARGET = "ARCHIVE"
HANDLERS = ("store", "query-retrieve")
SOLO = (("hospital", "association"), *(("hospital", name) for name in HANDLERS), ("cloud", "scu"))
"""One instance of everything."""
ENDPOINTS = (("hospital", "association"), ("cloud", "scu"))
"""The same, where the front-end hosts the handlers."""
HOSTED = ["store", "query_retrieve", "n_service"]
"""All handlers, for `association.hosted_handlers`."""


@dataclass(slots=True)
class Ground:
    """Where faults are tried."""

    fleet: Fleet
    nats: NatsServer
    entry: int
    """Port of the hospital's listener."""
    target: int
    """Port of the archive."""
    servers: tuple[NatsServer, ...] = ()
    """The nats-server of each zone."""
    bus: Bus | None = None
    """Its users."""

    @contextmanager
    def archive(
        self, ledger: Ledger | None = None, *, more: Mapping[int, Answer] | None = None
    ) -> Iterator[tuple[Archive, Server]]:
        """Run the target for the length of the block; `more` as `Archive` has it."""
        made, server = archive(self.target, ledger, more=more)
        try:
            yield made, server
        finally:
            server.stop(check=False)


@contextmanager
def ground(
    directory: Path,
    *instances: tuple[str, str],
    hospital: Mapping[str, Any] | None = None,
    cloud: Mapping[str, Any] | None = None,
    remote: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    others: Sequence[str] = (),
) -> Iterator[Ground]:
    """Start a nats-server and these (zone, service); `hospital`, `cloud`, `remote` are more configuration.

    `others` are zones that have users, and nothing that runs.
    """
    zones = _Zones.of(directory, hospital=hospital, cloud=cloud, remote=remote, others=others)
    with (
        nats_server(directory / "nats", config=zones.bus.one_server()) as nats,
        zones.running(instances, (nats, nats), env) as made,
    ):
        yield Ground(made, nats, zones.entry, zones.target, (nats,), zones.bus)


@contextmanager
def split_ground(
    directory: Path,
    *instances: tuple[str, str],
    hospital: Mapping[str, Any] | None = None,
    cloud: Mapping[str, Any] | None = None,
    remote: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[tuple[Ground, Relay]]:
    """Like `ground`, each zone with a nats-server of its own, and a leaf link between them through a relay."""
    port = reserve_port()
    zones = _Zones.of(directory, hospital=hospital, cloud=cloud, remote=remote)
    with (
        nats_server(directory / "hub", config=zones.bus.hub(port)) as hub,
        Relay(port) as relay,
        nats_server(directory / "leaf", config=zones.bus.leaf("hospital", relay.port)) as leaf,
        zones.running(instances, (leaf, hub), env) as made,
    ):
        yield Ground(made, leaf, zones.entry, zones.target, (leaf, hub), zones.bus), relay


@dataclass(slots=True)
class _Zones:
    """The two zones, before anything runs: a nats-server's permissions follow from what their files say."""

    directory: Path
    configs: tuple[dict[str, Any], dict[str, Any]]
    bus: Bus
    entry: int
    target: int

    @classmethod
    def of(
        cls,
        directory: Path,
        *,
        hospital: Mapping[str, Any] | None,
        cloud: Mapping[str, Any] | None,
        remote: Mapping[str, Any] | None,
        others: Sequence[str] = (),
    ) -> _Zones:
        entry, target = reserve_port(), reserve_port()
        ae: dict[str, Any] = {"ae_title": TARGET, "host": "127.0.0.1", "port": target, **(remote or {})}
        configs = (
            zone_config("hospital", listener=entry, more=hospital),
            zone_config("cloud", remote_aes=[ae], more=cloud),
        )
        return cls(
            directory,
            configs,
            Bus.of(directory / "bus", [*configs, *map(zone_config, others)]),
            entry,
            target,
        )

    @contextmanager
    def running(
        self,
        instances: Sequence[tuple[str, str]],
        servers: tuple[NatsServer, NatsServer],
        env: Mapping[str, str] | None,
    ) -> Iterator[Fleet]:
        with fleet(self.directory, env=env) as made:
            for config, server in zip(self.configs, servers, strict=True):
                made.zone(config, self.bus.access(config["zone"], server.url))
            made.start_all(*instances)
            yield made


def each(service: str, count: int, zone: str = "hospital") -> Sequence[tuple[str, str]]:
    """Return `count` instances of a service."""
    return [(zone, service)] * count


@pytest.fixture
def ledger() -> Ledger:
    """Fresh books."""
    return Ledger()
