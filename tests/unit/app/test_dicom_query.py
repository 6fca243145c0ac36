"""C-FIND, C-MOVE and C-GET against a scripted target, over TCP: what is asked, and what is made of the answers."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from dimse_mesh.app.dicom_query import Query, Response
from dimse_mesh.app.received_files import ReceivedFiles
from dimse_mesh.client import AssociationError, DicomClient, Proposal, connect_tcp
from dimse_mesh.dimse import CommandField
from dimse_mesh.dimse.encoding import EXPLICIT_LE, IMPLICIT_LE
from tests.support.scripted import Server, ServerPeer
from tests.support.wire import (
    CT_STORAGE,
    Command,
    Message,
    Status,
    Tag,
    request,
    response,
    role_selection,
    store_rq,
)

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
IDENTIFIER = struct.pack("<HHI", 0x20, 0x0D, 4) + b"1.2\0"

Answer = Callable[[ServerPeer, Message], Iterable[Message]]


def serving(answer: Answer, extra: bytes = b"") -> Callable[[ServerPeer], None]:
    def script(peer: ServerPeer) -> None:
        peer.accept_association(extra=extra)
        peer.serve(lambda message: answer(peer, message))

    return script


@asynccontextmanager
async def associated(server: Server, *proposals: Proposal) -> AsyncIterator[DicomClient]:
    client = await connect_tcp("127.0.0.1", server.port)
    try:
        await client.associate(called_ae="TARGET", calling_ae="TEST", proposals=proposals)
        yield client
        await client.release()
    finally:
        client.close()


def counts(remaining: int, completed: int, failed: int = 0, warning: int = 0) -> dict[int, int | str | bytes]:
    return {0x1020: remaining, 0x1021: completed, 0x1022: failed, 0x1023: warning}


def test_find_yields_pending_answers_and_the_final_status() -> None:
    def answer(_: ServerPeer, asked: Message) -> Iterable[Message]:
        assert asked.field == Command.C_FIND
        assert asked.data == IDENTIFIER
        yield response(asked, Status.PENDING, data=b"one")
        yield response(asked, 0xFF01, data=b"two")
        yield response(asked, 0)

    async def run() -> list[Response]:
        async with associated(server, Proposal(FIND, (EXPLICIT_LE, IMPLICIT_LE))) as client:
            query = Query(client, CommandField.C_FIND_RQ, FIND)
            assert query.transfer_syntax == EXPLICIT_LE
            return [found async for found in query.responses(IDENTIFIER)]

    with Server(serving(answer)) as server:
        found = anyio.run(run)
    assert [(one.status, one.identifier) for one in found] == [
        (Status.PENDING, b"one"),
        (0xFF01, b"two"),
        (0, None),
    ]


def test_cancel_is_sent_once_and_the_final_answer_awaited() -> None:
    asked: list[Message] = []

    def answer(_: ServerPeer, message: Message) -> Iterable[Message]:
        asked.append(message)
        if message.field == Command.C_FIND:
            return [response(message, Status.PENDING, data=b"one")]
        assert message.field == Command.C_CANCEL
        assert message.number(Tag.RESPONDED_MESSAGE_ID) == asked[0].number(Tag.MESSAGE_ID)
        return [response(asked[0], Status.PENDING, data=b"late"), response(asked[0], 0xFE00)]

    async def run() -> list[int]:
        async with associated(server, Proposal(FIND, (EXPLICIT_LE,))) as client:
            query = Query(client, CommandField.C_FIND_RQ, FIND)
            statuses = []
            async for found in query.responses(IDENTIFIER):
                statuses.append(found.status)
                await query.cancel()
            return statuses

    with Server(serving(answer)) as server:
        assert anyio.run(run) == [Status.PENDING, Status.PENDING, 0xFE00]
    assert len(asked) == 2


def test_move_names_its_destination_and_counts() -> None:
    def answer(_: ServerPeer, asked: Message) -> Iterable[Message]:
        assert asked.text(Tag.MOVE_DESTINATION) == "HOME"
        yield response(asked, Status.PENDING, more=counts(2, 1))
        yield response(asked, 0xB000, data=b"failed", more={0x1021: 1, 0x1022: 1, 0x1023: 1})

    async def run() -> list[Response]:
        async with associated(server, Proposal(MOVE, (EXPLICIT_LE,))) as client:
            query = Query(client, CommandField.C_MOVE_RQ, MOVE, destination="HOME")
            return [found async for found in query.responses(IDENTIFIER)]

    with Server(serving(answer)) as server:
        first, last = anyio.run(run)
    assert (first.counts.total, first.counts.done) == (3, 1)
    assert (last.counts.total, last.counts.done, last.counts.failed) == (None, 3, 1)
    assert last.identifier == b"failed"


def test_get_writes_sub_operations_and_answers_each(tmp_path: Path) -> None:
    statuses: list[int] = []

    def answer(peer: ServerPeer, asked: Message) -> Iterable[Message]:
        assert asked.field == Command.C_GET
        for number, name in enumerate(("1.2.1", "../../1.2.2", "1.2.3")):
            peer.send_message(store_rq(number + 100, name, b"data" * 50_000, context_id=3))
            reply = peer.receive_message()
            assert reply.field == Command.C_STORE | 0x8000
            assert reply.number(Tag.RESPONDED_MESSAGE_ID) == number + 100
            statuses.append(reply.status)
            yield response(asked, Status.PENDING, more=counts(2 - number, number + 1))
        yield response(asked, 0xB000, more=counts(0, 2, 1))

    async def run() -> list[Response]:
        get, store = Proposal(GET, (EXPLICIT_LE,)), Proposal(CT_STORAGE, (EXPLICIT_LE,), as_scp=True)
        async with associated(server, get, store) as client:
            assert client.scp_for == {CT_STORAGE}
            query = Query(client, CommandField.C_GET_RQ, GET, storage=files)
            return [found async for found in query.responses(IDENTIFIER)]

    files = ReceivedFiles(tmp_path)
    with Server(serving(answer, role_selection(CT_STORAGE, scu=0, scp=1))) as server:
        found = anyio.run(run)
        (peer,) = server.peers
        assert peer.request is not None
        proposed = [body for kind, body in peer.request.user_items if kind == 0x54]
    assert proposed == [role_selection(CT_STORAGE, scu=0, scp=1)[4:]]
    assert statuses == [0, 0x0117, 0]
    assert len(found) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.2.1.dcm", "1.2.3.dcm"]
    assert files.sizes == {"1.2.1": 200_000, "1.2.3": 200_000}


def test_request_that_nobody_expects_is_refused() -> None:
    replies: list[Message] = []

    def answer(peer: ServerPeer, asked: Message) -> Iterable[Message]:
        peer.send_message(request(Command.N_EVENT_REPORT, 9, FIND, data=b"report"))
        replies.append(peer.receive_message())
        yield response(asked, 0)

    async def run() -> None:
        async with associated(server, Proposal(FIND, (EXPLICIT_LE,))) as client:
            query = Query(client, CommandField.C_FIND_RQ, FIND)
            assert [found.status async for found in query.responses(IDENTIFIER)] == [0]

    with Server(serving(answer)) as server:
        anyio.run(run)
    assert [(reply.field, reply.status) for reply in replies] == [(Command.N_EVENT_REPORT | 0x8000, 0x0211)]


def test_answer_to_another_message_ends_it() -> None:
    def answer(_: ServerPeer, asked: Message) -> Iterable[Message]:
        yield response(asked, 0, more={Tag.RESPONDED_MESSAGE_ID: 4711})

    async def run() -> None:
        async with associated(server, Proposal(FIND, (EXPLICIT_LE,))) as client:
            query = Query(client, CommandField.C_FIND_RQ, FIND)
            with pytest.raises(AssociationError, match="nobody asked"):
                await anext(aiter(query.responses(IDENTIFIER)))

    with Server(serving(answer)) as server:
        anyio.run(run)


def test_target_that_closes_in_the_middle_is_told() -> None:
    def script(peer: ServerPeer) -> None:
        peer.accept_association()
        peer.send_message(response(peer.receive_message(), Status.PENDING, data=b"one"))

    async def run() -> int:
        client = await connect_tcp("127.0.0.1", server.port)
        try:
            await client.associate(
                called_ae="TARGET", calling_ae="TEST", proposals=[Proposal(FIND, (EXPLICIT_LE,))]
            )
            query = Query(client, CommandField.C_FIND_RQ, FIND)
            responses = aiter(query.responses(IDENTIFIER))
            first = await anext(responses)
            with pytest.raises(AssociationError, match="closed the connection"):
                await anext(responses)
        finally:
            client.close()
        return first.status

    with Server(script) as server:
        assert anyio.run(run) == Status.PENDING


def test_query_that_the_target_does_not_accept_is_told() -> None:
    async def run() -> None:
        async with associated(server, Proposal(FIND, (EXPLICIT_LE,))) as client:
            with pytest.raises(AssociationError, match="accepts no presentation context"):
                Query(client, CommandField.C_MOVE_RQ, MOVE, destination="HOME")

    with Server(serving(lambda *_: ())) as server:
        anyio.run(run)
