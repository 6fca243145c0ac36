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
from tests.support.ports import reserve_port
from tests.support.scripted import Server

TARGET = "ARCHIVE"
HANDLERS = ("store", "query-retrieve")
SOLO = (("hospital", "association"), *(("hospital", name) for name in HANDLERS), ("cloud", "scu"))
"""One instance of everything."""


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
) -> Iterator[Ground]:
    """Start a nats-server and these (zone, service); `hospital`, `cloud`, `remote` are more configuration."""
    with (
        nats_server(directory / "nats") as nats,
        _zones(
            directory, (nats, nats), instances, hospital=hospital, cloud=cloud, remote=remote, env=env
        ) as (made, entry, target),
    ):
        yield Ground(made, nats, entry, target, (nats,))


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
    with (
        # Not advertised: else the leaf learns where the hub listens, and goes round the relay when that is cut.
        nats_server(
            directory / "hub", config=f'leafnodes {{ listen: "127.0.0.1:{port}", no_advertise: true }}'
        ) as hub,
        Relay(port) as relay,
        nats_server(
            directory / "leaf",
            config="leafnodes "
            f'{{ reconnect: "100ms", remotes = [ {{ url: "nats://127.0.0.1:{relay.port}" }} ] }}',
        ) as leaf,
        _zones(directory, (leaf, hub), instances, hospital=hospital, cloud=cloud, remote=remote, env=env) as (
            made,
            entry,
            target,
        ),
    ):
        yield Ground(made, leaf, entry, target, (leaf, hub)), relay


@contextmanager
def _zones(
    directory: Path,
    servers: tuple[NatsServer, NatsServer],
    instances: Sequence[tuple[str, str]],
    *,
    hospital: Mapping[str, Any] | None,
    cloud: Mapping[str, Any] | None,
    remote: Mapping[str, Any] | None,
    env: Mapping[str, str] | None,
) -> Iterator[tuple[Fleet, int, int]]:
    entry, target = reserve_port(), reserve_port()
    ae: dict[str, Any] = {"ae_title": TARGET, "host": "127.0.0.1", "port": target, **(remote or {})}
    with fleet(directory, env=env) as made:
        made.zone(zone_config("hospital", listener=entry, more=hospital), servers[0].url)
        made.zone(zone_config("cloud", remote_aes=[ae], more=cloud), servers[1].url)
        made.start_all(*instances)
        yield made, entry, target


def each(service: str, count: int, zone: str = "hospital") -> Sequence[tuple[str, str]]:
    """Return `count` instances of a service."""
    return [(zone, service)] * count


@pytest.fixture
def ledger() -> Ledger:
    """Fresh books."""
    return Ledger()
