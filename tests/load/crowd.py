"""Thousands of associations in one process: asyncio protocols that know just enough DICOM."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.wire import (
    RELEASE_RP_PDU,
    RELEASE_RQ_PDU,
    VERIFICATION,
    Command,
    Context,
    Message,
    Pdu,
    PduType,
    associate_ac,
    associate_rq,
    p_data,
    parse_associate,
    request,
    response,
)

_ECHO = p_data(request(Command.C_ECHO, 1, VERIFICATION))


class Line(asyncio.Protocol):
    """A DICOM connection that hands on PDUs."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.pdus: asyncio.Queue[Pdu | None] = asyncio.Queue()
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Cut into PDUs."""
        self._buffer += data
        while len(self._buffer) >= 6:
            end = 6 + int.from_bytes(self._buffer[2:6], "big")
            if len(self._buffer) < end:
                return
            pdu, self._buffer = Pdu(self._buffer[0], self._buffer[6:end]), self._buffer[end:]
            self.handle(pdu)

    def handle(self, pdu: Pdu) -> None:
        """Take a PDU."""
        self.pdus.put_nowait(pdu)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Note the end."""
        self.pdus.put_nowait(None)

    def write(self, data: bytes) -> None:
        """Send."""
        assert self.transport is not None
        self.transport.write(data)

    def close(self) -> None:
        """Close the connection."""
        assert self.transport is not None
        self.transport.close()


class Member(Line):
    """One client."""

    async def open(self, called: str) -> str:
        """Associate; return `accepted`, `rejected r/s/r`, `aborted` or `closed`."""
        self.write(associate_rq(called=called, contexts=[Context(1, VERIFICATION)]))
        answer = await self.pdus.get()
        if answer is None:
            return "closed"
        match answer.kind:
            case PduType.ASSOCIATE_AC:
                return "accepted"
            case PduType.ASSOCIATE_RJ:
                return "rejected {}/{}/{}".format(*answer.body[1:4])
        return "aborted"

    async def echo(self) -> bool:
        """Verify; tell whether there was a response."""
        self.write(_ECHO)
        answer = await self.pdus.get()
        return answer is not None and answer.kind == PduType.P_DATA_TF

    async def release(self) -> bool:
        """Release and close; tell whether it was confirmed."""
        self.write(RELEASE_RQ_PDU)
        answer = await self.pdus.get()
        self.close()
        return answer is not None and answer.kind == PduType.RELEASE_RP


class Host(Line):
    """The target's side of one association: accepts, answers C-ECHO, releases."""

    def __init__(self, crowd: Counter[str]) -> None:
        super().__init__()
        self._crowd = crowd

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count."""
        super().connection_made(transport)
        self._crowd["open"] += 1

    def handle(self, pdu: Pdu) -> None:
        """Answer."""
        match pdu.kind:
            case PduType.ASSOCIATE_RQ:
                self._crowd["opened"] += 1
                self.write(associate_ac(parse_associate(pdu)))
            case PduType.P_DATA_TF:
                self.write(_answer(pdu))
            case PduType.RELEASE_RQ:
                self._crowd["released"] += 1
                self.write(RELEASE_RP_PDU)
                self.close()
            case PduType.ABORT:
                self._crowd["aborted"] += 1
                self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Count."""
        self._crowd["open"] -= 1


def _answer(pdu: Pdu) -> bytes:
    return p_data(response(Message(pdu.body[4], pdu.body[6:])))


@asynccontextmanager
async def host(port: int) -> AsyncIterator[Counter[str]]:
    """Serve on 127.0.0.1; yields counts of what happened."""
    crowd: Counter[str] = Counter()
    server = await asyncio.get_running_loop().create_server(
        lambda: Host(crowd), "127.0.0.1", port, backlog=4096
    )
    try:
        yield crowd
    finally:
        server.close()


async def join(port: int) -> Member:
    """Connect one client."""
    _, member = await asyncio.get_running_loop().create_connection(Member, "127.0.0.1", port)
    return member


def open_files_allowed(count: int) -> bool:
    """Raise the limit of open files as far as it goes; tell whether `count` may be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        soft = min(hard, max(count, soft)) if hard != resource.RLIM_INFINITY else count
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft >= count
