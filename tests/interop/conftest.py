"""One two-zone mesh for the whole session, and targets in either zone for single tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.encryption import encryption_of
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.ports import reserve_port
from tests.support.scripted import Server, ServerPeer, accept_and_serve
from tests.support.way import Way

POOL = 12
ODD_TITLES = ("MR 1.5T NORTH.AE", "A.B.C.D.E.F.G.H.", "STAR * > %41 _-")
"""AE titles that no subject token could hold as they are."""


@pytest.fixture(scope="session")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """Two zones, each with a listener and AEs; no routes: a called AE title is the destination.

    INTEROP_ENCRYPTED=1: what passes between them is encrypted (`make test-encrypted`).
    """
    pools = {
        zone: [Ae(f"{zone.upper()}{number:02}", reserve_port(), zone) for number in range(1, POOL + 1)]
        for zone in ("hospital", "cloud")
    }
    pools["cloud"] += [Ae(title, reserve_port(), "cloud") for title in ODD_TITLES]
    aes = {ae.title: ae for pool in pools.values() for ae in pool}
    if os.environ.get("INTEROP_DIRECT") == "1":
        yield Way(None, aes)
        return
    directory = tmp_path_factory.mktemp("mesh")
    more: dict[str, dict[str, Any]] = {zone: {} for zone in pools}
    if os.environ.get("INTEROP_ENCRYPTED") == "1":
        more = {zone: {"encryption": made} for zone, made in encryption_of(directory, *pools).items()}
    configs = [
        zone_config(zone, listener=reserve_port(), remote_aes=pools[zone], more=more[zone]) for zone in pools
    ]
    with Mesh.start(directory, configs) as mesh:
        yield Way(mesh, aes)


@pytest.fixture
def cloud_ae(way: Way) -> Iterator[Ae]:
    """An AE of the cloud that nobody listens for yet."""
    with way.borrowed("cloud") as ae:
        yield ae


@pytest.fixture
def hospital_ae(way: Way) -> Iterator[Ae]:
    """An AE of the hospital that nobody listens for yet."""
    with way.borrowed("hospital") as ae:
        yield ae


Script = Callable[[ServerPeer], None]
StartServer = Callable[..., Server]


@pytest.fixture
def scripted(cloud_ae: Ae) -> Iterator[StartServer]:
    """Start a scripted server as `cloud_ae`."""
    with ExitStack() as stack:

        def start(script: Script = accept_and_serve) -> Server:
            return stack.enter_context(Server(script, port=cloud_ae.port))

        yield start


@pytest.fixture
def received(tmp_path: Path) -> Path:
    """A directory for what a target receives."""
    directory = tmp_path / "received"
    directory.mkdir()
    return directory
