"""A client before it is linked: PS3.8 states 2, 3 and 13, seen from the wire."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field

import pytest

from dimse_mesh.association.acceptor import Acceptor
from dimse_mesh.endpoint import PeerConnection, SocketPeer
from dimse_mesh.endpoint.own import ASSOCIATE_LIMIT
from dimse_mesh.endpoint.time_shares import TimeShares
from dimse_mesh.mesh import ReceiveBlocks, Turn
from dimse_mesh.policy.rejections import CALLED_NOT_RECOGNIZED, CALLING_NOT_RECOGNIZED
from dimse_mesh.upper_layer import AssociateRQ
from tests.support.wire import (
    RELEASE_RQ_PDU,
    VERIFICATION,
    Command,
    abort,
    associate_rq,
    p_data,
    pdu,
    request,
)
from tests.unit.endpoint.memory_transport import MemoryTransport
from tests.unit.endpoint.virtual_time import run

RQ = associate_rq(called="PACS", calling="CT1")
ECHO = p_data(request(Command.C_ECHO, 1, VERIFICATION))
ARTIM = 5.0


@dataclass
class Client:
    """A client on a memory transport, and what became of its connection."""

    rejects: bool = False
    read: bytearray = field(default_factory=bytearray)
    closed: bool = False
    requests: list[tuple[AssociateRQ, bytes]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    gone: int = 0

    def __post_init__(self) -> None:
        self.connection = PeerConnection(
            ReceiveBlocks(read_size=65536), Turn(), TimeShares(), max_length=ASSOCIATE_LIMIT
        )
        self.transport = MemoryTransport(self.connection, self.read.extend, self._closed)
        self.acceptor = Acceptor(
            lambda opening: SocketPeer.connecting_in(self.connection, artim_timeout=ARTIM, opening=opening),
            on_request=self._requested,
            on_error=lambda code, _: self.errors.append(code),
        )
        self.acceptor.on_gone = self._gone

    def _closed(self) -> None:
        self.closed = True

    def _gone(self) -> None:
        self.gone += 1

    def _requested(self, acceptor: Acceptor, request: AssociateRQ, pdu: bytes) -> None:
        self.requests.append((request, pdu))
        if self.rejects:
            acceptor.reject(CALLED_NOT_RECOGNIZED)

    async def send(self, *pdus: bytes, within: float = 0.0) -> None:
        """Send in one piece, then let things happen."""
        self.transport.feed(b"".join(pdus))
        await asyncio.sleep(within)
        for _ in range(10):
            await asyncio.sleep(0)


def test_a_request_is_handed_on_decoded_and_as_it_came() -> None:
    async def main() -> None:
        client = Client()
        await client.send(RQ, within=10 * ARTIM)
        ((request, raw),) = client.requests
        assert (request.called_ae, request.calling_ae) == ("PACS", "CT1")
        assert raw == RQ
        assert not client.closed  # ARTIM has stopped

    run(main())


def test_a_client_that_says_nothing_is_cut_off_when_artim_expires() -> None:
    async def main() -> None:
        client = Client()
        await client.send(RQ[:40], within=ARTIM - 0.1)
        assert not client.closed
        await client.send(within=0.2)
        assert client.closed
        assert client.errors == ["artim-expired"]
        assert client.read == b""

    run(main())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 1),
        (b"\x01\0\x7f\xff\xff\xff", 6),
        (pdu(1, bytes(10)), 6),
        (ECHO, 2),
        (RELEASE_RQ_PDU, 2),
        (pdu(2, bytes(100)), 2),
    ],
)
def test_what_is_no_association_request_is_answered_by_an_abort(data: bytes, reason: int) -> None:
    async def main() -> None:
        client = Client()
        await client.send(data)
        assert client.read == abort(2, reason)
        assert client.requests == []
        assert len(client.errors) == 1
        assert not client.closed  # until it has read it, or ARTIM expires
        await client.send(ECHO, within=ARTIM)
        assert client.read == abort(2, reason)
        assert client.closed

    run(main())


@pytest.mark.parametrize("following", [ECHO, RQ, RELEASE_RQ_PDU, b"garbage"])
@pytest.mark.parametrize("pipelined", [True, False])
def test_a_client_that_does_not_wait_for_the_answer_is_aborted(following: bytes, pipelined: bool) -> None:
    async def main() -> None:
        client = Client()
        if pipelined:
            await client.send(RQ, following)
        else:
            await client.send(RQ)
            await client.send(following)
        assert client.read[:1] == b"\x07"
        assert client.acceptor.peer.over
        client.acceptor.reject(CALLING_NOT_RECOGNIZED)  # the answer comes too late
        client.acceptor.peer.abort()
        assert len(client.read) == 10

    run(main())


def test_who_opens_the_association_learns_of_an_abort_for_bad_manners() -> None:
    async def main() -> None:
        client = Client()
        await client.send(RQ)
        await client.send(ECHO)
        assert client.gone == 1

    run(main())


@pytest.mark.parametrize("closes", [True, False])
def test_a_client_that_leaves_while_the_target_is_asked_is_not_answered(closes: bool) -> None:
    async def main() -> None:
        client = Client()
        await client.send(RQ)
        if closes:
            client.transport.feed_eof()
        await client.send(b"" if closes else abort())
        assert client.acceptor.peer.over
        assert client.gone == 1
        client.acceptor.reject(CALLED_NOT_RECOGNIZED)
        client.acceptor.peer.abort()
        await client.send()
        assert client.read == b""
        assert client.closed
        assert client.errors == []

    run(main())


def test_an_abort_before_any_request_closes_without_answer() -> None:
    async def main() -> None:
        client = Client()
        await client.send(abort())
        assert client.closed
        assert client.read == b""

    run(main())


def test_what_follows_a_rejected_request_is_ignored_until_the_client_closes() -> None:
    async def main() -> None:
        client = Client(rejects=True)
        await client.send(RQ, ECHO)
        assert client.read == CALLED_NOT_RECOGNIZED.encode()
        assert client.errors == []
        await client.send(ECHO, RELEASE_RQ_PDU)
        assert client.read == CALLED_NOT_RECOGNIZED.encode()
        client.transport.feed_eof()
        await client.send()
        assert client.closed

    run(main())


@pytest.mark.parametrize(("data", "reason"), [(RQ, 2), (b"garbage", 1)])
def test_a_rejected_client_that_asks_again_or_sends_no_pdu_is_aborted_once(data: bytes, reason: int) -> None:
    async def main() -> None:
        client = Client(rejects=True)
        await client.send(RQ)
        await client.send(data)
        await client.send(b"garbage" if data != RQ else b"")
        assert client.read == CALLED_NOT_RECOGNIZED.encode() + abort(2, reason)
        assert client.errors == []

    run(main())


def test_a_rejected_client_that_does_not_close_is_cut_off_when_artim_expires() -> None:
    async def main() -> None:
        client = Client(rejects=True)
        await client.send(RQ, within=ARTIM - 0.1)
        assert not client.closed
        await client.send(within=0.2)
        assert client.closed

    run(main())


@pytest.mark.parametrize("turns", [1, 2], ids=["in one read", "left for the next turn"])
def test_what_stands_behind_an_abort_in_one_read_is_nobodys(
    turns: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by live fuzzing: it was an event that table 9-10 doesn't list, raised into the event loop."""
    if turns == 2:
        monkeypatch.setattr("dimse_mesh.endpoint.socket_peer.perf_counter", lambda: math.inf)

    async def main() -> None:
        client = Client()
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        client.transport.feed(RQ + abort() + ECHO + RELEASE_RQ_PDU + RQ)
        await asyncio.sleep(1)
        assert client.closed
        assert client.gone == 1
        assert not failures

    run(main())
    assert "raised" not in caplog.text


class Broken(list[str]):
    """Notes nothing: whoever tells it anything fails."""

    def append(self, item: str) -> None:
        raise KeyError(item)


def test_an_error_when_artim_expires_closes_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        client = Client()
        client.errors = Broken()
        await asyncio.sleep(2 * ARTIM)
        assert client.closed

    run(main())
    assert "the end of ARTIM raised KeyError" in caplog.text
