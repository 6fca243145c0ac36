"""A client in this process: messages both ways, held back both ways, and every end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from dimse_mesh.client import AssociationError, AssociationFailure, DicomClient, InProcessLine
from dimse_mesh.dimse import CommandReceived, CommandSet, DataFragment
from dimse_mesh.endpoint.in_process_peer import HIGH_WATER, InProcessPeer
from dimse_mesh.upper_layer import Abort, AbortReason, PduType
from tests.support.wire import (
    CT_STORAGE,
    STUDY_ROOT_FIND,
    Command,
    Message,
    p_data,
    request,
    response,
    store_rq,
)
from tests.unit.endpoint.virtual_time import run

STORE = store_rq(1, "1.2.3", b"ab", sop_class=CT_STORAGE, context_id=3)
FIND = request(Command.C_FIND, 2, STUDY_ROOT_FIND, data=b"", context_id=5)
FOUND = response(FIND, 0xFF00, data=b"found")


class Half:
    """Notes what a peer tells it."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int, bytes] | str] = []

    def run_received(self, pdus: Sequence[tuple[int, memoryview]], index: int, contiguous: memoryview) -> int:
        raise AssertionError((pdus, index, contiguous))

    def pdvs_received(self, pdvs: Sequence[tuple[int, int, memoryview]]) -> None:
        self.told += [(context_id, flags, bytes(fragment)) for context_id, flags, fragment in pdvs]

    def read_ended(self) -> None: ...

    def release_requested(self) -> None:
        self.told.append("release")

    def released(self) -> None:
        raise AssertionError

    def aborted(self, abort: Abort) -> None:
        self.told.append(f"abort {abort.source} {abort.reason}")

    def failed(self, code: str, reason: AbortReason) -> None:
        raise AssertionError((code, reason))

    def input_ended(self) -> bool:
        raise AssertionError

    def closed(self) -> None:
        raise AssertionError

    def writable_again(self) -> None:
        self.told.append("writable")


def joined() -> tuple[InProcessPeer, InProcessLine, Half]:
    peer, half = InProcessPeer(), Half()
    peer.join(half, max_pdu=0, max_length=0)
    return peer, InProcessLine(peer), half


def body(message: Message) -> bytes:
    assert message.data is not None
    return message.data


def test_messages_pass_both_ways_in_order() -> None:
    async def main() -> None:
        peer, line, half = joined()
        await line.write_message(3, STORE.command, None)
        await line.write_data(3, b"a", last=False)
        await line.write_data(3, b"b", last=True)
        assert half.told == [(3, 3, STORE.command), (3, 0, b"a"), (3, 2, b"b")]
        peer.write_message(3, STORE.command, None)
        peer.write_data(3, b"a", last=False)
        peer.write_data(3, b"b", last=True)
        pdus = p_data(FOUND) * 2
        peer.write_pdus(memoryview(pdus), largest=len(pdus))
        events = [await line.next_event() for _ in range(7)]
        assert [event.command for event in events if isinstance(event, CommandReceived)] == [
            STORE.command,
            FOUND.command,
            FOUND.command,
        ]
        fragments = [event for event in events if isinstance(event, DataFragment)]
        assert [(bytes(event.fragment), event.last) for event in fragments] == [
            (b"a", False),
            (b"b", True),
            (body(FOUND), True),
            (body(FOUND), True),
        ]

    run(main())


def test_a_client_that_is_held_back_sends_when_it_may() -> None:
    async def main() -> None:
        peer, line, half = joined()
        peer.pause_reading()
        sending = asyncio.ensure_future(line.write_message(3, STORE.command, None))
        await asyncio.sleep(5)
        assert half.told == []
        peer.resume_reading()
        await sending
        assert half.told == [(3, 3, STORE.command)]
        peer.pause_reading()
        client = DicomClient(line)
        client.deadline = 10
        with pytest.raises(AssociationError, match="takes nothing for 10 s") as raised:
            await client.send(3, CommandSet.parse(STORE.command))
        assert raised.value.failure is AssociationFailure.TIMED_OUT

    run(main())


def test_a_half_learns_when_the_client_has_taken_enough() -> None:
    async def main() -> None:
        peer, line, half = joined()
        peer.write_message(3, STORE.command, None)
        while peer.writable:
            peer.write_data(3, bytes(HIGH_WATER // 4), last=False)
        await line.next_event()
        while not half.told:
            await line.next_event()
        assert half.told == ["writable"]
        assert peer.writable

    run(main())


def test_ends() -> None:
    async def main() -> None:
        peer, line, half = joined()
        releasing = asyncio.ensure_future(line.release())
        await asyncio.sleep(1)
        assert half.told == ["release"]
        assert peer.release_requested
        peer.answer_release()
        await releasing
        assert peer.over

        peer, line, _ = joined()
        peer.write_message(3, STORE.command, None)
        peer.abort(Abort(0, 0))
        await line.next_event()
        with pytest.raises(AssociationError) as raised:
            await line.write_message(3, STORE.command, None)
        assert raised.value.failure is AssociationFailure.ABORTED

        peer, line, half = joined()
        line.close()
        line.close()
        assert half.told == ["abort 0 0"]

        peer, line, _ = joined()
        peer.close()
        with pytest.raises(AssociationError) as raised:
            await line.next_event()
        assert raised.value.failure is AssociationFailure.LOST

        peer, line, _ = joined()
        peer.request_release()
        assert peer.owes_release
        with pytest.raises(AssociationError, match=f"{PduType.RELEASE_RQ:02X}H"):
            await line.next_event()

    run(main())
