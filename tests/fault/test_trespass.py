"""What a zone's own key lets it do, it does in its own name: past no handler, to no target that doesn't admit it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from dimse_mesh.mesh import Mesh, Reply, pack
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.association import OpenReply, OpenRequest, OpenResult
from dimse_mesh.schemas.frames import (
    WHOLE,
    FrameKind,
    encode_frame,
    iter_frames,
    message_payload,
)
from dimse_mesh.schemas.operation import OperationRequest
from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.schemas.subjects import Kind
from tests.fault.archive import CONTEXTS, STORE, find_rq
from tests.fault.clients import open_client
from tests.fault.conftest import SOLO, TARGET, Ground, ground
from tests.fault.ledger import Ledger
from tests.fault.test_forgery import LAB, Scene, scene
from tests.support.bus import join
from tests.support.process import wait_until
from tests.support.waiting import Mailbox
from tests.support.wire import Message as DimseMessage
from tests.support.wire import associate_rq, store_rq


@asynccontextmanager
async def joined(where: Ground, role: Role) -> AsyncIterator[Mesh]:
    """Join the bus with a key of the lab."""
    assert where.bus is not None
    async with join(
        where.bus.settings(LAB, role, where.nats.url), InstanceAddress(LAB, role, "evil")
    ) as mesh:
        yield mesh


async def open_from_lab(mesh: Mesh, *, told: str = "LAB", calling: str = "LAB") -> Reply[OpenReply]:
    """Ask for an association with the archive as a front-end of the lab does.

    Args:
        told: the calling AE title by the message's head.
        calling: that of the A-ASSOCIATE-RQ, which the target gets.
    """
    request = OpenRequest(
        association="trespass",
        channel=5,
        called_ae=TARGET,
        calling_ae=told,
        delivery="live",
        window=1 << 20,
        deadline=20,
    )
    pdu = associate_rq(called=TARGET, calling=calling, contexts=CONTEXTS)
    return await mesh.request(mesh.subjects.ae_open(TARGET), request, pdu, timeout=20)


def frames_in(heard: Mailbox) -> set[int]:
    """Return the kinds of frames that have come."""
    return {frame.kind for message in heard.messages for frame in iter_frames(message.payload)}


@pytest.mark.parametrize(
    "message",
    [find_rq(1, 3, "1.2.3"), store_rq(1, "1.2.3", b"", context_id=STORE)],
    ids=["C-FIND", "C-STORE"],
)
def test_a_request_that_no_handler_has_seen_does_not_reach_the_target(
    tmp_path: Path, message: DimseMessage
) -> None:
    ledger = Ledger()

    async def trespass(where: Ground) -> None:
        async with joined(where, Role.ASSOCIATION) as mesh:
            heard = Mailbox()
            await mesh.subscribe(mesh.subjects.mine(Kind.LINK), heard)
            reply = await open_from_lab(mesh)
            assert reply.head.result is OpenResult.ACCEPTED
            assert reply.head.channel is not None
            payload = message_payload(message.command, message.data or b"")
            frame = encode_frame(
                reply.head.channel,
                FrameKind.MESSAGE,
                *payload,
                flags=WHOLE,
                context_id=message.context_id,
            )
            mesh.publish(mesh.subjects.to(reply.sender, Kind.LINK), frame)
            with anyio.fail_after(20):
                while FrameKind.ABORT not in frames_in(heard):
                    await heard.until(len(heard.messages) + 1)

    with ground(tmp_path, *SOLO, others=[LAB]) as where, where.archive(ledger) as (archive, _):
        anyio.run(trespass, where)
        wait_until(lambda: archive.aborted == 1, "the end of the target's association")
    assert not ledger.books["C-FIND"].performed
    assert not ledger.books["C-STORE"].performed


def test_a_target_is_opened_for_the_zones_that_it_admits_alone(tmp_path: Path) -> None:
    async def trespass(where: Ground) -> None:
        async with joined(where, Role.ASSOCIATION) as mesh:
            reply = await open_from_lab(mesh)
        assert reply.head.result is OpenResult.REJECTED
        assert reply.head.detail == "zone-not-allowed"

    with (
        ground(tmp_path, *SOLO, remote={"from_zones": ["hospital"]}, others=[LAB]) as where,
        where.archive() as (archive, _),
    ):
        anyio.run(trespass, where)
        with open_client(where.entry) as client:
            client.release()
        wait_until(lambda: archive.released == 1, "the hospital's own association")
        assert (archive.released, archive.aborted, archive.lost) == (1, 0, 0)


@pytest.mark.parametrize(
    ("calling", "why"), [("ADMIN", "calling-ae-not-allowed"), ("LAB\x01", "malformed-ae-title")]
)
def test_a_zone_cannot_show_the_target_another_title_than_it_may(
    tmp_path: Path, calling: str, why: str
) -> None:
    """What the head of the message says doesn't count: the target gets the A-ASSOCIATE-RQ behind it."""

    async def trespass(where: Ground) -> None:
        async with joined(where, Role.ASSOCIATION) as mesh:
            reply = await open_from_lab(mesh, told="LAB", calling=calling)
        assert reply.head.result is OpenResult.REJECTED
        assert reply.head.detail == why

    with (
        ground(tmp_path, *SOLO, remote={"from_calling": ["LAB*"]}, others=[LAB]) as where,
        where.archive() as (archive, _),
    ):
        anyio.run(trespass, where)
        assert (archive.released, archive.aborted, archive.lost) == (0, 0, 0)


def test_a_handler_that_is_asked_by_a_strange_executor_does_the_association_no_harm(tmp_path: Path) -> None:
    """Executors of any zone may ask: an association has two ends. The sink knows its other end, and drops the rest."""

    async def trespass(played: Scene) -> None:
        async with joined(played.where, Role.SCU) as mesh:
            command = find_rq(1, 3, "1.2.3")
            payload = message_payload(command.command, command.data or b"")
            frame = encode_frame(
                played.front_end.channel,
                FrameKind.MESSAGE,
                *payload,
                position=1,
                acknowledged=1 << 40,
                flags=WHOLE,
                context_id=command.context_id,
            )
            for source in (mesh.address, played.executor.instance):
                request = OperationRequest(
                    association=played.association,
                    source=source.tokens,
                    source_channel=played.executor.channel,
                    sink=played.front_end.instance.tokens,
                    calling_ae="X",
                    called_ae="Y",
                    from_client=False,
                )
                asked = mesh.subjects.operations("hospital", ServiceName.QUERY_RETRIEVE)
                mesh.publish(asked.sent_by(mesh.address), pack(request, frame))
            await mesh.subscribe(mesh.subjects.mine(Kind.LINK), Mailbox())  # behind them

    with scene(tmp_path) as played:
        anyio.run(trespass, played)
        (front_end,) = played.where.fleet.of("association")
        (handler,) = played.where.fleet.of("query-retrieve")
        front_end.child.wait_for_line("an operation, which its sender may not approve")
        handler.child.wait_for_line("an operation, which its sender may not ask for, from scu of zone lab")
        played.store(2)
        played.client.release()
        wait_until(lambda: played.archive.released == 1, "the release")
