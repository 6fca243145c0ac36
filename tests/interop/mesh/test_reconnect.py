"""What happens when the connection, or the server, goes away."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from dimse_mesh.mesh import Mesh, MeshUnavailable, NatsSettings
from dimse_mesh.schemas.service import Dead, Obituary
from dimse_mesh.schemas.subjects import Subject
from tests.interop.mesh.conftest import Join
from tests.support.bus import address, join
from tests.support.nats import NatsServer, nats_server
from tests.support.stalls import Stalls
from tests.support.waiting import Edges, Mailbox

pytestmark = pytest.mark.anyio

ECHO = Subject("test.echo", Obituary, Obituary, "echoes")
HEAD = Obituary(dead=Dead(role="scu", instance="x"))


async def test_after_kill_9_and_restart_subscriptions_stand_and_publishing_works(
    server: NatsServer, pair: tuple[Mesh, Mesh]
) -> None:
    one, two = pair
    control, bulk = Mailbox(), Mailbox()
    await two.subscribe("test.control", control)
    await two.subscribe("test.bulk", bulk, bulk=True)
    edges = [Edges(mesh) for mesh in pair]
    first_server, first_since = one.server_id, one.connected_since
    server.kill()
    for seen in edges:
        await seen.until(False)
    assert not one.publish("test.control", b"lost")
    assert not one.publish_bulk("test.bulk", b"lost")
    with pytest.raises(MeshUnavailable):
        await one.request(ECHO, HEAD, timeout=1)
    await anyio.to_thread.run_sync(server.start)
    for seen in edges:
        await seen.until(False, True)
    assert one.server_id != first_server
    assert one.connected_since > first_since
    assert one.publish("test.control", b"again")
    assert one.publish_bulk("test.bulk", b"again")
    assert [message.payload for message in await control.until(1)] == [b"again"]
    assert [message.payload for message in await bulk.until(1)] == [b"again"]


async def test_a_subscription_made_while_disconnected_stands_after_reconnect(
    server: NatsServer, pair: tuple[Mesh, Mesh]
) -> None:
    one, two = pair
    edges = [Edges(mesh) for mesh in pair]
    server.kill()
    for seen in edges:
        await seen.until(False)
    mailbox = Mailbox()
    await two.subscribe("test.late", mailbox)
    await anyio.to_thread.run_sync(server.start)
    for seen in edges:
        await seen.until(False, True)
    one.publish("test.late", b"")
    await mailbox.until(1)


async def test_an_error_that_closes_the_connection_for_good_leads_to_a_new_one(join: Join) -> None:
    async with join("one") as one, join("two") as two:
        mailbox = Mailbox()
        await one.subscribe("test.control", mailbox)
        edges = Edges(one)
        wire = one._control._wire
        assert wire is not None
        wire.send((b"PUB test.control 99999999\r\n",), 0)  # -ERR 'Maximum Payload Violation'
        await edges.until(False, True)
        two.publish("test.control", b"again")
        await mailbox.until(1)


async def test_a_rotated_token_is_read_again_when_the_server_turns_the_old_one_away(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    with nats_server(tmp_path / "nats", config='authorization { token: "old" }') as server:
        settings = NatsSettings(servers=[server.url], token_file=token)
        async with join(settings, address("one", zone="z"), root="DIMSE") as mesh:
            edges = Edges(mesh)
            mailbox = Mailbox()
            await mesh.subscribe("test.control", mailbox)
            token.write_text("new\n")
            server.reload('authorization { token: "new" }')
            await edges.until(False, True)
            mesh.publish("test.control", b"")
            await mailbox.until(1)


async def test_a_half_open_connection_is_found_by_pings(server: NatsServer, join: Join) -> None:
    async with join(ping_interval=0.05) as mesh:
        edges = Edges(mesh)
        server.pause()
        try:
            # What is queued for the dead link must not keep us from giving it up.
            while mesh.publish_bulk("test.bulk", bytes(500_000)):
                pass
            await edges.until(False)
            with anyio.fail_after(30):
                while mesh.bulk_backlog():
                    await anyio.lowlevel.checkpoint()
        finally:
            server.resume()
        await edges.until(False, True)


async def test_closing_while_the_server_is_away_does_not_hang(
    server: NatsServer, join: Join, stalls: Stalls
) -> None:
    began = time.monotonic()
    with anyio.fail_after(30):
        async with join() as mesh:
            edges = Edges(mesh)
            server.kill()
            await edges.until(False)
    assert stalls.moved(began) < 8


async def test_a_refused_publish_is_logged_once_and_exposed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = """
    authorization { users = [ { user: u, password: p, permissions: {
      publish: { allow: ["ok.>", "test.>"] }, subscribe: ">" } } ] }
    """
    with nats_server(tmp_path / "nats", config=config) as server:
        settings = NatsSettings(servers=[server.url], user="u", password="p")  # type: ignore[arg-type]
        async with join(settings, address("one", zone="z"), root="ok") as mesh:
            mailbox = Mailbox()
            await mesh.subscribe("test.control", mailbox)
            with caplog.at_level(logging.ERROR):
                mesh.publish("forbidden", b"")
                mesh.publish("forbidden", b"")
                mesh.publish("test.control", b"")
                await mailbox.until(1)
            assert "forbidden" in mesh.last_error
            assert len(caplog.records) == 1
            assert mesh.connected
