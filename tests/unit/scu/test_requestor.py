"""A target between our A-ASSOCIATE-RQ and its answer (PS3.8 Sta5)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

import pytest

from dimse_mesh.endpoint import PeerConnection, SocketPeer
from dimse_mesh.endpoint.own import ASSOCIATE_LIMIT
from dimse_mesh.endpoint.time_shares import TimeShares
from dimse_mesh.mesh import ReceiveBlocks, Turn
from dimse_mesh.runtime.settings_scu import RemoteAe
from dimse_mesh.schemas.association import OpenResult
from dimse_mesh.scu.requestor import Answer, OpeningFailed, connect, request_association
from dimse_mesh.upper_layer import Abort, AbortReason
from tests.support.wire import (
    RELEASE_RQ_PDU,
    VERIFICATION,
    Associate,
    Command,
    ContextResult,
    abort,
    associate_ac,
    associate_rj,
    associate_rq,
    p_data,
    pdu,
    pdv,
    request,
)
from tests.unit.endpoint.memory_transport import MemoryTransport
from tests.unit.endpoint.virtual_time import run

RQ = associate_rq(called="PACS")
AC = associate_ac(Associate(b"PACS".ljust(16), b"SCRIPTED".ljust(16)), [ContextResult(1)])
REPORT = p_data(request(Command.N_EVENT_REPORT, 1, VERIFICATION))
TIMEOUT = 5.0
ARTIM = 3.0


def new_connection() -> PeerConnection:
    return PeerConnection(ReceiveBlocks(read_size=65536), Turn(), TimeShares(), max_length=ASSOCIATE_LIMIT)


Opened = tuple[SocketPeer, Answer]


class Target:
    """A target on a memory transport."""

    def __init__(self) -> None:
        self.read = bytearray()
        self.closed = False
        self.connection = new_connection()
        self.transport = MemoryTransport(self.connection, self.read.extend, self._gone)

    def _gone(self) -> None:
        self.closed = True

    async def asked(self, *answer: bytes, closes: bool = False) -> Opened:
        """Let it answer in one piece once it was asked."""

        def act() -> None:
            assert self.read == RQ
            self.transport.feed(b"".join(answer))
            if closes:
                self.transport.feed_eof()

        asyncio.get_running_loop().call_later(1.0, act)
        return await request_association(self.connection, RQ, timeout=TIMEOUT, artim_timeout=ARTIM)


class Half:
    """Notes what a peer tells it."""

    def __init__(self) -> None:
        self.told: list[bytes | str] = []

    def run_received(
        self,
        pdus: Sequence[tuple[int, memoryview]],  # noqa: ARG002
        index: int,
        contiguous: memoryview,  # noqa: ARG002
    ) -> int:
        return index

    def pdvs_received(self, pdvs: Sequence[tuple[int, int, memoryview]]) -> None:
        for context_id, flags, fragment in pdvs:
            piece = pdv(context_id, is_command=bool(flags & 1), is_last=bool(flags & 2), fragment=fragment)
            self.told.append(pdu(4, piece))

    def read_ended(self) -> None:
        self.told.append("read ended")

    def release_requested(self) -> None:
        self.told.append("release")

    def released(self) -> None:
        raise AssertionError

    def aborted(self, abort: Abort) -> None:  # noqa: ARG002
        raise AssertionError

    def failed(self, code: str, reason: AbortReason) -> None:  # noqa: ARG002
        raise AssertionError

    def input_ended(self) -> bool:
        raise AssertionError

    def closed(self) -> None:
        raise AssertionError

    def writable_again(self) -> None:
        raise AssertionError


def opened(script: Callable[[Target], Awaitable[Opened]]) -> tuple[Target, Opened | OpeningFailed]:
    """Run a script; return what came of it."""

    async def main() -> tuple[Target, Opened | OpeningFailed]:
        target = Target()
        try:
            outcome: Opened | OpeningFailed = await script(target)
        except OpeningFailed as failure:
            outcome = failure
        for _ in range(10):
            await asyncio.sleep(0)
        return target, outcome

    return run(main())


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize(
    ("answer", "result", "over"),
    [
        (AC, OpenResult.ACCEPTED, False),
        (associate_rj(2, 3, 1), OpenResult.REJECTED, True),
        (abort(2, 5), OpenResult.ABORTED, True),
    ],
)
def test_the_answer_is_kept_to_the_byte(answer: bytes, result: OpenResult, over: bool, closes: bool) -> None:
    target, outcome = opened(lambda target: target.asked(answer, closes=closes))
    assert not isinstance(outcome, OpeningFailed)
    peer, found = outcome
    assert found.result is result
    assert found.pdu == answer
    assert peer.over is over
    assert target.closed is over


def test_what_comes_right_behind_the_acceptance_waits_for_the_half() -> None:
    async def main() -> None:
        target, half = Target(), Half()
        peer, _ = await target.asked(AC, REPORT, RELEASE_RQ_PDU)
        await asyncio.sleep(10 * TIMEOUT)
        assert not target.transport.reading
        peer.join(half, max_pdu=0, max_length=100_000)
        assert half.told == [REPORT, "release", "read ended"]

    run(main())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (REPORT, 2),
        (RELEASE_RQ_PDU, 2),
        (RQ, 2),
        (pdu(2, bytes(10)), 6),
        (b"SSH-2.0-OpenSSH\r\n", 1),
        (b"\x02\0\x7f\xff\xff\xff", 6),
    ],
)
def test_any_other_answer_is_aborted(answer: bytes, reason: int) -> None:
    async def main() -> None:
        target = Target()
        with pytest.raises(OpeningFailed) as raised:
            await target.asked(answer)
        assert raised.value.result is OpenResult.UNREACHABLE
        await asyncio.sleep(ARTIM - 0.1)
        assert target.read == RQ + abort(2, reason)
        assert not target.closed
        await asyncio.sleep(0.2)
        assert target.closed

    run(main())


def test_a_target_that_closes_without_an_answer_is_unreachable() -> None:
    _, outcome = opened(lambda target: target.asked(closes=True))
    assert isinstance(outcome, OpeningFailed)
    assert (outcome.result, outcome.detail) == (OpenResult.UNREACHABLE, "closed-by-target")


def test_a_target_that_says_nothing_is_given_up_after_the_timeout() -> None:
    target, outcome = opened(lambda target: target.asked(AC[:20]))
    assert isinstance(outcome, OpeningFailed)
    assert (outcome.result, outcome.detail) == (OpenResult.TIMED_OUT, "association-timeout")
    assert target.read == RQ + abort(2, 0)


def test_giving_up_aborts_and_closes_when_artim_expires() -> None:
    async def main() -> None:
        target = Target()
        task = asyncio.ensure_future(target.asked())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(ARTIM - 0.1)
        assert target.read == RQ + abort(2, 0)
        assert not target.closed
        await asyncio.sleep(0.2)
        assert target.closed

    run(main())


def test_a_port_where_nobody_listens_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    async def main() -> None:
        remote = RemoteAe(ae_title="PACS", host="127.0.0.1", port=port)
        with pytest.raises(OpeningFailed) as raised:
            await connect(remote, connection=new_connection, context=None)
        assert raised.value.result is OpenResult.UNREACHABLE

    asyncio.run(main())
