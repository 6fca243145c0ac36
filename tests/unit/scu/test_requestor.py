"""A target between our A-ASSOCIATE-RQ and its answer (PS3.8 Sta5)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from dimse_mesh.endpoint import PeerConnection
from dimse_mesh.endpoint.own import ASSOCIATE_LIMIT
from dimse_mesh.mesh import Turn
from dimse_mesh.runtime.settings_scu import RemoteAe
from dimse_mesh.schemas.association import OpenResult
from dimse_mesh.scu.requestor import OpeningFailed, Requestor, connect, request_association
from dimse_mesh.upper_layer import State
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
    request,
)
from tests.unit.endpoint.memory_transport import MemoryTransport
from tests.unit.endpoint.virtual_time import run

RQ = associate_rq(called="PACS")
AC = associate_ac(Associate(b"PACS".ljust(16), b"SCRIPTED".ljust(16)), [ContextResult(1)])
REPORT = p_data(request(Command.N_EVENT_REPORT, 1, VERIFICATION))
TIMEOUT = 5.0


def new_connection() -> PeerConnection:
    return PeerConnection(bytearray(65536), Turn(), max_length=ASSOCIATE_LIMIT)


class Target:
    """A target on a memory transport."""

    def __init__(self) -> None:
        self.read = bytearray()
        self.closed = False
        self.connection = new_connection()
        self.transport = MemoryTransport(self.connection, self.read.extend, self._gone)

    def _gone(self) -> None:
        self.closed = True

    async def asked(self, *answer: bytes, closes: bool = False) -> Requestor:
        """Let it answer in one piece once it was asked."""

        def act() -> None:
            assert self.read == RQ
            self.transport.feed(b"".join(answer))
            if closes:
                self.transport.feed_eof()

        asyncio.get_running_loop().call_later(1.0, act)
        return await request_association(self.connection, RQ, timeout=TIMEOUT)


def opened(script: Callable[[Target], Awaitable[Requestor]]) -> tuple[Target, Requestor | OpeningFailed]:
    """Run a script; return what came of it."""

    async def main() -> tuple[Target, Requestor | OpeningFailed]:
        target = Target()
        try:
            outcome: Requestor | OpeningFailed = await script(target)
        except OpeningFailed as failure:
            outcome = failure
        for _ in range(10):
            await asyncio.sleep(0)
        return target, outcome

    return run(main())


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize(
    ("answer", "result", "state"),
    [
        (AC, OpenResult.ACCEPTED, State.STA6),
        (associate_rj(2, 3, 1), OpenResult.REJECTED, State.STA1),
        (abort(2, 5), OpenResult.ABORTED, State.STA1),
    ],
)
def test_the_answer_is_kept_to_the_byte(
    answer: bytes, result: OpenResult, state: State, closes: bool
) -> None:
    _, outcome = opened(lambda target: target.asked(answer, closes=closes))
    assert isinstance(outcome, Requestor)
    assert outcome.answer is not None
    assert outcome.answer.result is result
    assert outcome.answer.pdu == answer
    assert outcome.machine.state is state


def test_what_comes_right_behind_the_acceptance_waits_for_the_link() -> None:
    target, outcome = opened(lambda target: target.asked(AC, REPORT, RELEASE_RQ_PDU))
    assert isinstance(outcome, Requestor)
    assert outcome.answer is not None
    assert [pdu(kind, body) for kind, body in outcome.answer.following] == [REPORT, RELEASE_RQ_PDU]
    assert not target.transport.reading


@pytest.mark.parametrize(
    "answer", [REPORT, RELEASE_RQ_PDU, RQ, b"SSH-2.0-OpenSSH\r\n", b"\x02\0\x7f\xff\xff\xff"]
)
def test_any_other_answer_is_none(answer: bytes) -> None:
    target, outcome = opened(lambda target: target.asked(answer))
    assert isinstance(outcome, OpeningFailed)
    assert outcome.result is OpenResult.UNREACHABLE
    assert target.closed


def test_a_target_that_closes_without_an_answer_is_unreachable() -> None:
    _, outcome = opened(lambda target: target.asked(closes=True))
    assert isinstance(outcome, OpeningFailed)
    assert (outcome.result, outcome.detail) == (OpenResult.UNREACHABLE, "closed-by-target")


def test_a_target_that_says_nothing_is_given_up_after_the_timeout() -> None:
    target, outcome = opened(lambda target: target.asked(AC[:20]))
    assert isinstance(outcome, OpeningFailed)
    assert (outcome.result, outcome.detail) == (OpenResult.TIMED_OUT, "association-timeout")
    assert target.closed


def test_giving_up_closes_the_connection() -> None:
    async def main() -> None:
        target = Target()
        task = asyncio.ensure_future(request_association(target.connection, RQ, timeout=TIMEOUT))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.1)
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
