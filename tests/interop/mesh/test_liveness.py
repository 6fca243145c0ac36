"""Deaths of real processes on a real nats-server."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from dimse_mesh.mesh import Liveness, LivenessSettings, Mesh, announce_death, open_liveness
from dimse_mesh.nats_server.permissions import ZoneFacts
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from tests.interop.mesh.conftest import Join
from tests.support.bus import address
from tests.support.bus import join as bus_join
from tests.support.nats import NatsServer, nats_server
from tests.support.permitted import Bus
from tests.support.stalls import Stalls
from tests.support.waiting import Edges

pytestmark = pytest.mark.anyio

CHILD_ADDRESS = address("child", role=Role.SCU)
CHILD = """
import sys, anyio
from dimse_mesh.mesh import NatsSettings, open_liveness, open_mesh
from dimse_mesh.schemas.addresses import InstanceAddress, Role

async def main():
    seed = sys.argv[2] if len(sys.argv) > 2 else None
    settings = NatsSettings(servers=[sys.argv[1]], nkey_seed=seed)
    own = InstanceAddress("hospital", Role.SCU, "child")
    async with open_mesh(settings, root="DIMSE", address=own, first_connect_timeout=10) as mesh:
        async with open_liveness(mesh, on_dead=print):
            print("up", flush=True)
            await anyio.to_thread.run_sync(sys.stdin.read)

anyio.run(main)
"""


@pytest.fixture
def bus(tmp_path: Path) -> Bus:
    """The users of two zones."""
    return Bus(tmp_path / "bus", [ZoneFacts("DIMSE", "hospital"), ZoneFacts("DIMSE", "cloud")])


@pytest.fixture
def server(tmp_path: Path, bus: Bus) -> Iterator[NatsServer]:
    """A nats-server with their permissions."""
    with nats_server(tmp_path / "nats", config=bus.one_server()) as running:
        yield running


@pytest.fixture
def join(server: NatsServer, bus: Bus) -> Join:
    """Open a mesh on `server` as one of those users."""

    def joined(instance: str = "one", *, zone: str = "hospital", role: Role = Role.ASSOCIATION) -> Any:
        own = address(instance, zone=zone, role=role)
        return bus_join(bus.settings(zone, role, server.url), own)

    return joined


class Deaths:
    """Collects what `on_dead` says."""

    def __init__(self) -> None:
        self.dead: list[InstanceAddress] = []
        self._changed = anyio.Event()

    def __call__(self, instance: InstanceAddress) -> None:
        self.dead.append(instance)
        self._changed.set()

    async def first(self) -> InstanceAddress:
        """Wait for the first death."""
        with anyio.fail_after(20):
            await self._changed.wait()
        return self.dead[0]


@contextmanager
def child(server: NatsServer | str, bus: Bus | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run an instance called `child` in its own process; with its key, if there is a bus."""
    url = server if isinstance(server, str) else server.url
    seed = [] if bus is None else [str(bus.keys.file(CHILD_ADDRESS.zone, CHILD_ADDRESS.role))]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, url, *seed],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"up\n"
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def watching(mesh: Mesh, deaths: Deaths, **times: Any) -> AsyncIterator[Liveness]:
    async with open_liveness(mesh, on_dead=deaths, settings=LivenessSettings(**times)) as liveness:
        yield liveness


async def known(liveness: Liveness, instance: InstanceAddress) -> None:
    """Wait until `instance` is in the table."""
    with anyio.fail_after(10):
        while instance not in {one.address for one in liveness.instances}:
            await anyio.lowlevel.checkpoint()


async def test_kill_9_is_noticed_within_two_and_a_half_seconds(
    server: NatsServer, bus: Bus, join: Join, stalls: Stalls
) -> None:
    deaths = Deaths()
    with child(server, bus) as process:
        async with join("one") as mesh, watching(mesh, deaths) as liveness:
            await known(liveness, CHILD_ADDRESS)
            liveness.watch(CHILD_ADDRESS)
            killed = time.monotonic()
            process.kill()
            assert await deaths.first() == CHILD_ADDRESS
            assert stalls.moved(killed) < 2.5
            assert liveness.instances == []


async def test_a_clean_stop_is_noticed_at_once(
    server: NatsServer, bus: Bus, join: Join, stalls: Stalls
) -> None:
    deaths = Deaths()
    with child(server, bus) as process:
        async with join("one") as mesh, watching(mesh, deaths) as liveness:
            await known(liveness, CHILD_ADDRESS)
            liveness.watch(CHILD_ADDRESS)
            assert process.stdin is not None
            stopped = time.monotonic()
            process.stdin.close()
            assert await deaths.first() == CHILD_ADDRESS
            assert stalls.moved(stopped) < 1.0


async def test_an_obituary_by_a_supervisor_is_believed_at_once(join: Join, stalls: Stalls) -> None:
    deaths = Deaths()
    async with (
        join("one") as mesh,
        join("supervisor", role=Role.SUPERVISOR) as supervisor,
        watching(mesh, deaths) as liveness,
    ):
        liveness.watch(CHILD_ADDRESS)
        announced = time.monotonic()
        announce_death(supervisor, CHILD_ADDRESS)
        assert await deaths.first() == CHILD_ADDRESS
        assert stalls.moved(announced) < 1.0
        watched = time.monotonic()
        liveness.watch(CHILD_ADDRESS)
        with anyio.fail_after(20):
            while deaths.dead != [CHILD_ADDRESS, CHILD_ADDRESS]:
                await anyio.lowlevel.checkpoint()
        assert stalls.moved(watched) < 1.0


async def test_a_witness_announces_the_death_of_an_instance_that_nobody_watches(
    server: NatsServer, bus: Bus, join: Join, stalls: Stalls
) -> None:
    deaths = Deaths()
    with child(server, bus) as process:
        async with (
            join("one") as one,
            join("two", zone="cloud") as two,
            # `two` can't tell by itself: its confirm and deadline are too long.
            watching(two, deaths, confirm=1000, grace=1000, deadline=1000) as far,
            watching(one, Deaths(), interval=0.2, confirm=0.3) as witness,
        ):
            await known(far, CHILD_ADDRESS)
            await known(witness, CHILD_ADDRESS)
            far.watch(CHILD_ADDRESS)
            killed = time.monotonic()
            process.kill()
            assert await deaths.first() == CHILD_ADDRESS
            assert stalls.moved(killed) < 6


async def test_a_restart_of_the_server_kills_nobody(server: NatsServer, bus: Bus, join: Join) -> None:
    deaths = Deaths()
    with child(server, bus):
        async with join("one") as mesh, watching(mesh, deaths, probe_interval=0.1, confirm=0.2) as liveness:
            await known(liveness, CHILD_ADDRESS)
            liveness.watch(CHILD_ADDRESS)
            edges = Edges(mesh)
            await anyio.to_thread.run_sync(server.restart)
            await edges.until(False, True)
            with anyio.move_on_after(2.0) as scope:
                await deaths.first()
            assert scope.cancelled_caught
            with anyio.fail_after(20):
                while [one.heartbeat.server_id for one in liveness.instances] != [mesh.server_id]:
                    await anyio.lowlevel.checkpoint()
            assert deaths.dead == []


async def test_draining_is_seen_in_the_heartbeat(join: Join, stalls: Stalls) -> None:
    async with (
        join("one") as one,
        join("two") as two,
        watching(one, Deaths()) as liveness,
        watching(two, Deaths()) as draining,
    ):
        await known(liveness, two.address)
        began = time.monotonic()
        draining.drain()
        with anyio.fail_after(20):
            while not liveness.instances[0].heartbeat.draining:
                await anyio.lowlevel.checkpoint()
        assert stalls.moved(began) < 1
