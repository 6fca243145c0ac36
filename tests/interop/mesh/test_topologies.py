"""More than one nats-server: clusters, leaf links, websockets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from pydantic import SecretStr

from dimse_mesh.mesh import Mesh, NatsSettings
from dimse_mesh.nats_server.permissions import ZoneFacts
from dimse_mesh.schemas.addresses import Role
from dimse_mesh.schemas.service import Dead, Obituary
from dimse_mesh.schemas.subjects import Subject
from tests.interop.mesh.test_first_connect import Pki
from tests.interop.mesh.test_liveness import CHILD_ADDRESS, Deaths, child, known, watching
from tests.support.bus import address, join
from tests.support.nats import NatsServer, nats_server
from tests.support.permitted import TEST_USER, Bus
from tests.support.ports import reserve_port
from tests.support.stalls import Stalls
from tests.support.waiting import Edges, Mailbox

pytestmark = pytest.mark.anyio

ECHO = Subject("test.echo", Obituary, Obituary, "echoes")


@dataclass(frozen=True)
class Linked:
    """Two servers with a leaf link between them, as two zones have, and the users of those."""

    hub: NatsServer
    leaf: NatsServer
    bus: Bus

    def far(self, instance: str = "far") -> AbstractAsyncContextManager[Mesh]:
        """Join as a front-end of the cloud, which is at the hub."""
        settings = self.bus.settings("cloud", Role.ASSOCIATION, self.hub.url)
        return join(settings, address(instance, zone="cloud"), root="DIMSE", timeout=20)

    def near(self, instance: str = "near") -> AbstractAsyncContextManager[Mesh]:
        """Join as a front-end of the hospital, which is at the leaf."""
        settings = self.bus.settings("hospital", Role.ASSOCIATION, self.leaf.url)
        return join(settings, address(instance, zone="hospital"), root="DIMSE", timeout=20)


@pytest.fixture
def linked(tmp_path: Path) -> Iterator[Linked]:
    port = reserve_port()
    bus = Bus(tmp_path / "bus", [ZoneFacts("DIMSE", "hospital"), ZoneFacts("DIMSE", "cloud")])
    with (
        nats_server(tmp_path / "hub", config=bus.hub(port)) as hub,
        nats_server(tmp_path / "leaf", config=bus.leaf("hospital", port)) as leaf,
    ):
        yield Linked(hub, leaf, bus)


def at(server: NatsServer) -> NatsSettings:
    return NatsSettings(servers=[server.url])


async def test_a_client_moves_to_a_server_that_the_cluster_told_it_of(tmp_path: Path) -> None:
    routes = [reserve_port(), reserve_port()]
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                nats_server(
                    tmp_path / str(route),
                    config=f'cluster {{ name: c, listen: "127.0.0.1:{route}", '
                    f"routes: [{', '.join(f'nats://127.0.0.1:{other}' for other in routes)}] }}",
                )
            )
            for route in routes
        ]
        async with (
            join(at(servers[0]), address("one", zone="z"), root="D") as one,
            join(at(servers[1]), address("two", zone="z"), root="D") as two,
        ):
            mailbox, edges = Mailbox(), Edges(one)
            await one.subscribe("test.control", mailbox)
            with anyio.fail_after(10):  # until the servers have found each other
                while not mailbox.messages:
                    two.publish("test.control", b"")
                    await anyio.lowlevel.checkpoint()
            servers[0].kill()
            await edges.until(False, True)
            assert one.server_id == two.server_id
            mailbox.messages.clear()
            two.publish("test.control", b"again")
            assert (await mailbox.until(1))[-1].payload == b"again"


async def test_a_death_behind_a_leaf_link_is_told_by_a_witness_there(linked: Linked, stalls: Stalls) -> None:
    deaths = Deaths()
    with child(linked.leaf, linked.bus) as process:
        async with (
            linked.far() as f,
            linked.near() as w,
            watching(f, deaths) as far,
            watching(w, Deaths()) as witness,
        ):
            await known(far, CHILD_ADDRESS)
            await known(witness, CHILD_ADDRESS)
            far.watch(CHILD_ADDRESS)
            killed = time.monotonic()
            process.kill()
            assert await deaths.first() == CHILD_ADDRESS
            assert stalls.moved(killed) < 8


async def test_newcomers_on_both_sides_of_a_leaf_link_are_known_and_know_all_at_once(
    linked: Linked, stalls: Stalls
) -> None:
    """Each says once to all that it is there; who was there before answers it alone, so a crowd makes no storm."""
    crowd = 20
    said, answered = Mailbox(), Mailbox()
    async with AsyncExitStack() as stack:
        everything = NatsSettings(servers=[linked.leaf.url], user=TEST_USER, password=SecretStr(TEST_USER))
        listener = await stack.enter_async_context(join(everything, address("listener"), timeout=20))
        await listener.subscribe(listener.subjects.all_live, said)
        await listener.subscribe("DIMSE.i.*.*.*.greeting.*.*.*", answered)
        meshes = [
            await stack.enter_async_context((linked.near if number % 2 else linked.far)(f"i{number}"))
            for number in range(crowd)
        ]
        # Nothing comes by the clock: no heartbeat but the first, no second turn.
        once = {"interval": 1000, "probe_interval": 1000, "deadline": 1000}
        livenesses = [await stack.enter_async_context(watching(mesh, Deaths(), **once)) for mesh in meshes]
        opened = time.monotonic()
        with anyio.fail_after(20):
            while not all(len(liveness.instances) == crowd - 1 for liveness in livenesses):
                await anyio.lowlevel.checkpoint()
        assert stalls.moved(opened) < 2
        assert len(said.messages) == crowd
        assert len(answered.messages) < crowd**2


async def test_a_leaf_link_that_drops_kills_nobody(linked: Linked) -> None:
    deaths = Deaths()
    with child(linked.leaf, linked.bus):
        async with (
            linked.far() as f,
            watching(f, deaths, probe_interval=0.1, confirm=0.2, grace=0.2) as far,
        ):
            await known(far, CHILD_ADDRESS)
            far.watch(CHILD_ADDRESS)
            linked.leaf.kill()
            with anyio.move_on_after(1.5) as scope:
                await deaths.first()
            assert scope.cancelled_caught
            await anyio.to_thread.run_sync(linked.leaf.start)


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
async def test_over_a_websocket_everything_works_and_comes_back(tmp_path: Path, secure: bool) -> None:
    port, pki = reserve_port(), Pki(tmp_path)
    tls = pki.config() if secure else "no_tls: true"
    url = f"{'wss' if secure else 'ws'}://127.0.0.1:{port}"
    settings = NatsSettings.model_validate({"servers": [url], "tls": {"ca": pki.ca_file} if secure else None})
    with nats_server(
        tmp_path / "nats", config=f'websocket {{ listen: "127.0.0.1:{port}", {tls} }}'
    ) as server:
        async with join(settings, address("one", zone="z"), root="D") as mesh:

            async def echo(request: Obituary, tail: memoryview, _: object) -> tuple[Obituary, bytes]:
                return request, bytes(tail)

            await mesh.serve(ECHO, echo, max_concurrent=1)
            bulk, edges = Mailbox(), Edges(mesh)
            await mesh.subscribe("test.bulk", bulk, bulk=True)
            head = Obituary(dead=Dead(role="scu", instance="x"))
            assert (await mesh.request(ECHO, head, b"t", timeout=30)).head == head
            room = anyio.Event()
            mesh.on_bulk_room(room.set)
            for number in range(100):
                assert mesh.publish_bulk("test.bulk", bytes([number]), bytes(60_000))
            assert mesh.bulk_backlog() > 0
            messages = await bulk.until(100)
            assert [message.payload[0] for message in messages] == list(range(100))
            assert room.is_set()
            server.kill()
            await edges.until(False)
            await anyio.to_thread.run_sync(server.start)
            await edges.until(False, True)
            assert (await mesh.request(ECHO, head, b"t", timeout=30)).head == head
