"""What those raise who are called back by the mesh ends neither the connection nor the watch over others."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import anyio
import anyio.lowlevel
import pytest

from dimse_mesh.mesh import LivenessSettings, Mesh, NatsSettings, announce_death, open_liveness
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from tests.interop.mesh.conftest import Join
from tests.support.bus import address, join
from tests.support.nats import NatsServer, nats_server
from tests.support.waiting import Edges, Mailbox

pytestmark = pytest.mark.anyio


async def test_whoever_is_told_of_a_refusal_and_raises_keeps_no_other_from_hearing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = (
        'authorization { users = [ { user: u, password: p, permissions: { publish: ["ok.>", "test.>"] } } ] }'
    )
    told: list[str] = []
    with nats_server(tmp_path / "nats", config=config) as server:
        settings = NatsSettings(servers=[server.url], user="u", password="p")  # type: ignore[arg-type]
        async with join(settings, address("one", zone="z"), root="ok") as mesh:
            mesh.on_refused(Mock(side_effect=KeyError("refused")))
            mesh.on_refused(lambda subject, _: told.append(subject))
            mailbox = Mailbox()
            await mesh.subscribe("test.control", mailbox)
            for _ in range(2):
                mesh.publish("forbidden", b"")
                mesh.publish("test.control", b"")
            await mailbox.until(2)
            assert mesh.connected
    assert told == ["forbidden", "forbidden"]
    assert "whoever is told of a refusal raised KeyError" in caplog.text


async def test_a_listener_that_raises_keeps_no_connection_from_coming_back(
    server: NatsServer, join: Join, caplog: pytest.LogCaptureFixture
) -> None:
    async with join() as mesh:
        mesh.on_change(Mock(side_effect=KeyError("changed")))
        edges = Edges(mesh)
        server.kill()
        await edges.until(False)
        await anyio.to_thread.run_sync(server.start)
        await edges.until(False, True)
    assert "a listener of the mesh raised KeyError" in caplog.text


async def test_a_receiver_of_the_connection_that_raises_gets_the_next_message(
    pair: tuple[Mesh, Mesh], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = pair
    mailbox = Mailbox()
    fails_once = mailbox.behind_a_fault(KeyError("PATIENT^NAME"))
    await two._control.subscribe("test.control", "", fails_once)  # no Subscription of a service in between
    one.publish("test.control", b"")
    one.publish("test.control", b"next")
    await mailbox.until(1)
    assert "the receiver of a message raised KeyError" in caplog.text
    assert "PATIENT" not in caplog.text


async def test_a_tick_that_raises_ends_no_watch(join: Join, caplog: pytest.LogCaptureFixture) -> None:
    load = Mock(return_value={})
    quick = LivenessSettings(interval=0.02, probe_interval=0.02)
    async with (
        join("one") as mesh,
        join("two", role=Role.SCU) as other,
        open_liveness(mesh, load=load, settings=quick),
    ):
        beats = Mailbox()
        await other.subscribe(other.subjects.all_live, beats)
        load.side_effect = KeyError("load")
        with anyio.fail_after(10):
            while caplog.text.count("a tick of the failure detector raised KeyError") < 2:
                await anyio.lowlevel.checkpoint()
        load.side_effect = None
        await beats.until(len(beats.messages) + 2)


async def test_whoever_is_told_of_a_death_and_raises_hears_of_the_next_one(
    join: Join, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (address(name, role=Role.SCU) for name in ("first", "second"))
    told: list[InstanceAddress] = []

    def on_dead(instance: InstanceAddress) -> None:
        told.append(instance)
        if instance == first:
            raise KeyError("dead")

    async with (
        join("one") as mesh,
        join("supervisor", role=Role.SUPERVISOR) as supervisor,
        open_liveness(mesh, on_dead=on_dead) as liveness,
    ):
        for dead in (first, second):
            liveness.watch(dead)
            announce_death(supervisor, dead)
            with anyio.fail_after(10):
                while dead not in told:
                    await anyio.lowlevel.checkpoint()
    assert told == [first, second]
    assert "on_dead raised KeyError" in caplog.text
