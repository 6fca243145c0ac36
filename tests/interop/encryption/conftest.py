"""Two zones whose associations are encrypted, on a nats-server whose every message is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.encryption import encryption_of
from tests.support.files import pattern
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.nats import NatsServer
from tests.support.ports import reserve_port
from tests.support.tap import Tap

SECRETS = (b"MESH^TEST", b"MESH-TEST", pattern(4096, 1)[64:96], b"IN PROGRESS")
"""What data sets of these tests hold, and command sets don't: names, ids, pixels, a step's status."""


@dataclass(slots=True)
class Tapped:
    """A mesh, and what its bus has carried."""

    mesh: Mesh
    tap: Tap
    nats: NatsServer

    def entry(self, zone: str) -> int:
        """Return the port of a zone's listener."""
        return self.mesh.listeners[zone]

    def seen(self) -> set[bytes]:
        """Return which secrets the bus has seen."""
        return {secret for secret in SECRETS for message in self.tap.messages if secret in message.payload}


@contextmanager
def tapped(
    directory: Path,
    *,
    encryption: Mapping[str, Mapping[str, Any]],
    routes: Mapping[str, list[Any]] | None = None,
) -> Iterator[Tapped]:
    """Start zones `hospital` and `cloud`; AE `ARCHIVE` is the cloud's, `VIEWER` the hospital's."""
    server = NatsServer(directory / "nats")
    server.start()
    aes = [Ae("ARCHIVE", reserve_port(), "cloud"), Ae("VIEWER", reserve_port(), "hospital")]
    configs = []
    for zone in ("hospital", "cloud"):
        more: dict[str, Any] = {"nats": {"servers": [server.url]}}
        if zone in encryption:
            more["encryption"] = dict(encryption[zone])
        configs.append(
            zone_config(
                zone,
                listener=reserve_port(),
                remote_aes=[ae for ae in aes if ae.zone == zone],
                routes=(routes or {}).get(zone, ()),
                more=more,
            )
        )
    try:
        with Mesh.start(directory / "mesh", configs, nats_port=server.port) as mesh, Tap(server.port) as tap:
            mesh.aes = {ae.title: ae for ae in aes}
            yield Tapped(mesh, tap, server)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tapped]:
    """Two zones that know each other's keys."""
    directory = tmp_path_factory.mktemp("sealed")
    with tapped(directory, encryption=encryption_of(directory, "hospital", "cloud")) as made:
        yield made


@pytest.fixture(scope="module")
def open_zones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tapped]:
    """The same two zones without encryption."""
    with tapped(tmp_path_factory.mktemp("open"), encryption={}) as made:
        yield made
