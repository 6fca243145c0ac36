"""The shipped permissions on a real nats-server: what each role needs passes, what it lacks is said in one line."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from dimse_mesh.mesh import (
    Mesh,
    MeshUnavailable,
    Message,
    NatsSettings,
    NoResponders,
    NotPermitted,
    pack,
)
from dimse_mesh.nats_server import embedded_server
from dimse_mesh.nats_server.accounts import one_account
from dimse_mesh.nats_server.permissions import ZoneFacts
from dimse_mesh.schemas.addresses import Role
from dimse_mesh.schemas.association import OpenReply, OpenRequest, OpenResult
from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.schemas.subjects import Kind
from tests.support.bus import address, join
from tests.support.nats import NatsServer, nats_server
from tests.support.permitted import Bus
from tests.support.ports import reserve_port
from tests.support.waiting import Mailbox

pytestmark = pytest.mark.anyio

ZONES = (ZoneFacts("DIMSE", "hospital"), ZoneFacts("DIMSE", "cloud", ("PACS",), has_default=True))
REQUEST = OpenRequest(
    association="a", channel=1, called_ae="PACS", calling_ae="CT", delivery="live", window=1, deadline=5
)


class Ground:
    """The users of two zones, and which nats-server each zone is on."""

    def __init__(self, bus: Bus, servers: dict[str, NatsServer]) -> None:
        self.bus = bus
        self.servers = servers

    @asynccontextmanager
    async def join(self, zone: str, role: Role, instance: str = "x") -> AsyncIterator[Mesh]:
        settings = self.bus.settings(zone, role, self.servers[zone].url)
        async with join(settings, address(instance, zone=zone, role=role)) as mesh:
            yield mesh


@pytest.fixture(params=["one server", "hub and leaf"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    bus = Bus(tmp_path / "bus", ZONES)
    if request.param == "one server":
        with nats_server(tmp_path / "nats", config=bus.one_server()) as server:
            yield Ground(bus, {"hospital": server, "cloud": server})
        return
    port = reserve_port()
    with (
        nats_server(tmp_path / "hub", config=bus.hub(port)) as hub,
        nats_server(tmp_path / "leaf", config=bus.leaf("hospital", port)) as leaf,
    ):
        yield Ground(bus, {"hospital": leaf, "cloud": hub})


async def serve_pacs(mesh: Mesh) -> None:
    async def accept(request: OpenRequest, tail: memoryview, _: object) -> tuple[OpenReply, bytes]:
        return OpenReply(result=OpenResult.ACCEPTED, channel=request.channel), bytes(tail)

    await mesh.serve(mesh.subjects.ae_open("PACS"), accept, max_concurrent=1)


async def opened(mesh: Mesh) -> None:
    """Open an association with the PACS, as soon as the servers have found each other."""
    with anyio.fail_after(10):
        while True:
            try:
                reply = await mesh.request(mesh.subjects.ae_open("PACS"), REQUEST, b"pdu", timeout=5)
            except NoResponders:
                await anyio.sleep(0.02)
                continue
            assert reply.sender == address("x", zone="cloud", role=Role.SCU)
            assert bytes(reply.tail) == b"pdu"
            return


async def test_an_opening_a_frame_and_an_approval_reach_the_other_zone(ground: Ground) -> None:
    async with (
        ground.join("cloud", Role.SCU) as executor,
        ground.join("hospital", Role.ASSOCIATION) as front_end,
        ground.join("hospital", Role.STORE) as handler,
    ):
        await serve_pacs(executor)
        frames, data, approved = Mailbox(), Mailbox(), Mailbox()
        await executor.subscribe(executor.subjects.mine(Kind.LINK), frames)
        await executor.subscribe(executor.subjects.mine(Kind.OP), approved)
        await front_end.subscribe(front_end.subjects.mine(Kind.DATA), data, bulk=True)
        await opened(front_end)
        front_end.publish(front_end.subjects.to(executor.address, Kind.LINK), b"frame")
        handler.publish(handler.subjects.to(executor.address, Kind.OP), b"operation")
        executor.publish_bulk(executor.subjects.to(front_end.address, Kind.DATA), b"data")
        assert [m.payload for m in await frames.until(1)] == [b"frame"]
        assert [m.payload for m in await approved.until(1)] == [b"operation"]
        assert [m.payload for m in await data.until(1)] == [b"data"]


async def test_a_refused_publish_is_one_line_that_names_subject_role_and_zone(
    ground: Ground, caplog: pytest.LogCaptureFixture
) -> None:
    async with ground.join("hospital", Role.ASSOCIATION) as front_end:
        subject = front_end.subjects.to(address("z", zone="cloud", role=Role.SCU), Kind.OP)
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                front_end.publish(subject, b"")
            await front_end.subscribe(front_end.subjects.mine(Kind.LINK), Mailbox())  # behind them
    (line,) = [
        record.getMessage() for record in caplog.records if "lacks the permission" in record.getMessage()
    ]
    assert f"role association of zone hospital publish to {subject}:" in line


async def test_a_request_that_is_not_permitted_fails_at_once(ground: Ground) -> None:
    async with ground.join("hospital", Role.STORE) as handler:
        with pytest.raises(
            NotPermitted, match=r"role store of zone hospital publish to DIMSE\.ae\.PACS\.open"
        ):
            await handler.request(handler.subjects.ae_open("PACS"), REQUEST, timeout=60)


async def test_a_service_that_may_not_subscribe_is_told_so(ground: Ground) -> None:
    async with ground.join("hospital", Role.SCU) as executor:
        with pytest.raises(
            NotPermitted, match=r"role scu of zone hospital subscribe to DIMSE\.ae\.PACS\.open"
        ):
            await serve_pacs(executor)
        operations = executor.subjects.operations("hospital", ServiceName.STORE)
        with pytest.raises(NotPermitted, match="in queue group store"):
            await executor.subscribe(operations.interest, Mailbox(), queue=operations.queue)


@pytest.mark.parametrize("zone", ["hospital", "cloud"])
async def test_nobody_can_listen_to_what_is_for_others(ground: Ground, zone: str) -> None:
    secret = {
        ("cloud", Role.SCU): ["DIMSE.i.cloud.scu.*.>", "DIMSE.ae.PACS.open.*.*.*"],
        ("hospital", Role.ASSOCIATION): ["DIMSE.i.hospital.association.*.>"],
        ("hospital", Role.STORE): ["DIMSE.i.hospital.store.*.>", "DIMSE.zone.hospital.store.*.*.*"],
        (None, None): [">", "DIMSE.>", "DIMSE.i.>", "DIMSE.ae.*.open.*.*.*", "_INBOX.>", "$SYS.>", "$JS.>"],
    }
    for role in Role:
        async with ground.join(zone, role) as mesh:
            for owner, subjects in secret.items():
                for subject in subjects if owner != (zone, role) else []:
                    with pytest.raises(NotPermitted):
                        await mesh.subscribe(subject, Mailbox())
    async with ground.join(
        "cloud", Role.SCU
    ) as executor:  # nor can an executor take openings past the others
        with pytest.raises(NotPermitted):
            await executor.subscribe("DIMSE.ae.PACS.open.*.*.*", Mailbox())


async def test_only_an_executor_can_answer_an_opening(ground: Ground) -> None:
    """Even with the inbox of the request, which nobody but the one asked can know."""
    async with (
        ground.join("cloud", Role.SCU) as executor,
        ground.join("hospital", Role.ASSOCIATION) as front_end,
    ):
        asked: list[str] = []
        came, answer = anyio.Event(), anyio.Event()

        async def accept(request: OpenRequest, _: memoryview, message: Message) -> tuple[OpenReply, bytes]:
            asked.append(message.reply)
            came.set()
            await answer.wait()
            return OpenReply(result=OpenResult.ACCEPTED, channel=request.channel), b""

        async def forge() -> None:
            with anyio.fail_after(30):
                await came.wait()
            forged = pack(OpenReply(result=OpenResult.REJECTED))
            for zone in ("hospital", "cloud"):
                for role in set(Role) - {Role.SCU}:
                    async with ground.join(zone, role, "evil") as mesh:
                        for sender in (executor.address, mesh.address):
                            mesh.publish(f"{asked[0]}.{sender.tokens}", forged)
                        await mesh.subscribe(mesh.subjects.mine(Kind.PING), Mailbox())  # behind them
            answer.set()

        await executor.serve(executor.subjects.ae_open("PACS"), accept, max_concurrent=1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(forge)
            with anyio.fail_after(30):
                while True:
                    try:
                        pacs = front_end.subjects.ae_open("PACS")
                        reply = await front_end.request(pacs, REQUEST, timeout=30)
                        break
                    except NoResponders:  # until the servers have found each other
                        await anyio.sleep(0.02)
        assert reply.head.result is OpenResult.ACCEPTED
        assert reply.sender == executor.address


async def test_what_is_for_everybody_is_heard_in_both_zones(ground: Ground) -> None:
    async with AsyncExitStack() as stack:
        meshes = [
            await stack.enter_async_context(ground.join(zone, role))
            for zone in ("hospital", "cloud")
            for role in Role
            if role is not Role.SUPERVISOR
        ]
        heard = [Mailbox() for _ in meshes]
        for mesh, mailbox in zip(meshes, heard, strict=True):
            await mesh.subscribe(mesh.subjects.all_live, mailbox)
        with anyio.fail_after(10):
            while not all(len({m.sender for m in mailbox.messages}) == len(meshes) for mailbox in heard):
                for mesh in meshes:
                    mesh.publish(mesh.subjects.live, b"")
                await anyio.sleep(0.05)


async def test_nobody_enters_without_a_key_of_its_own(ground: Ground) -> None:
    url = ground.servers["cloud"].url
    for settings in (
        NatsSettings(servers=[url]),
        NatsSettings(servers=[url], user="cloud", password="cloud"),  # type: ignore[arg-type]
    ):
        with pytest.raises(MeshUnavailable, match="authorization violation"):
            async with join(settings, address()):
                pass


async def test_the_embedded_server_takes_its_accounts(tmp_path: Path) -> None:
    bus = Bus(tmp_path, ZONES)
    accounts = one_account(bus.zones, bus.keys.public_key)
    async with embedded_server(0, tmp_path / "data", extra_config=accounts) as server:
        with pytest.raises(MeshUnavailable, match="authorization violation"):
            async with join(NatsSettings(servers=[server.url]), address()):
                pass
        folder = NatsSettings(servers=[server.url], nkey_seed=bus.keys.zone("hospital"))
        async with join(folder, address("x", zone="hospital", role=Role.STORE)) as mesh:
            assert mesh.connected
