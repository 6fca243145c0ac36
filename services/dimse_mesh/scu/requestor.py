"""A target's connection from TCP to its answer to the A-ASSOCIATE-RQ (PS3.8 Sta4 and Sta5)."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from dimse_mesh.endpoint import PeerConnection, SocketPeer
from dimse_mesh.endpoint.tls_trouble import TlsTrouble, trouble_of
from dimse_mesh.runtime.settings_scu import RemoteAe
from dimse_mesh.schemas.association import CLOSED_BY_TARGET, OpenResult
from dimse_mesh.upper_layer import Abort, AssociateAC, AssociateRJ, AssociateRQ, TlsRecord


@dataclass(frozen=True, slots=True)
class Answer:
    """What the target answered, and its PDU as it came."""

    result: OpenResult
    content: AssociateAC | AssociateRJ | Abort
    pdu: bytes


class OpeningFailed(Exception):
    """The target gave no answer that could be passed on.

    Attributes:
        result: what the front-end is told.
        detail: a code, or words for people.
        tls: why TLS doesn't stand, if that is so.
    """

    def __init__(self, result: OpenResult, detail: str, tls: TlsTrouble | None = None) -> None:
        super().__init__(detail)
        self.result = result
        self.detail = detail
        self.tls = tls


class Requestor:
    """Asks a target for an association: told by its peer what comes before it stands.

    Args:
        request: the A-ASSOCIATE-RQ.
        artim_timeout: seconds for the target to close after an A-ABORT.
    """

    __slots__ = ("_answer", "_answered", "_connection", "_failure", "peer")

    def __init__(self, connection: PeerConnection, request: bytes, *, artim_timeout: float) -> None:
        self._connection = connection
        self._answered = anyio.Event()
        self._answer: Answer | None = None
        self._failure: OpeningFailed | None = None
        self.peer = SocketPeer.connected_to(connection, request, artim_timeout=artim_timeout, opening=self)

    async def answered(self) -> Answer:
        """Wait for the answer.

        Raises:
            OpeningFailed: the target closed, or sent something else.
        """
        await self._answered.wait()
        if self._failure is not None:
            raise self._failure
        assert self._answer is not None
        return self._answer

    def associate_received(self, pdu: AssociateRQ | AssociateAC | AssociateRJ, raw: bytes) -> None:
        """Take the answer."""
        assert not isinstance(pdu, AssociateRQ)
        result = OpenResult.ACCEPTED if isinstance(pdu, AssociateAC) else OpenResult.REJECTED
        self._answer = Answer(result, pdu, raw)
        self._answered.set()

    def aborted(self, abort: Abort) -> None:
        """Take an A-ABORT for an answer."""
        self._answer = Answer(OpenResult.ABORTED, abort, abort.encode())
        self._answered.set()

    def failed(self, code: str) -> None:
        """Give up: what came is no answer."""
        if code == TlsRecord.code:
            self._fail(OpeningFailed(OpenResult.TLS_FAILED, code, TlsTrouble.TLS_PEER))
        else:
            self._fail(OpeningFailed(OpenResult.UNREACHABLE, code))

    def closed(self) -> None:
        """Give up: the target has closed. In TLS 1.3 it judges our certificate when our handshake is over."""
        error = self._connection.lost_by
        if isinstance(error, ssl.SSLError):
            self._fail(_tls_failed(error))
        else:
            self._fail(OpeningFailed(OpenResult.UNREACHABLE, CLOSED_BY_TARGET))

    def _fail(self, failure: OpeningFailed) -> None:
        if self._failure is None:
            self._failure = failure
            self._answered.set()


async def connect(
    remote: RemoteAe, *, connection: Callable[[], PeerConnection], context: ssl.SSLContext | None
) -> PeerConnection:
    """Connect to a target within its `connect_timeout`; `connection` makes the protocol for it.

    Raises:
        OpeningFailed: it can't be reached, or TLS doesn't stand.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + remote.connect_timeout
    host, port = remote.endpoint
    try:
        with anyio.fail_after(remote.connect_timeout):
            if context is None:
                _, connected = await loop.create_connection(connection, host, port)
                return connected
            sock = await _connected_socket(host, port)
    except TimeoutError:
        raise OpeningFailed(OpenResult.TIMED_OUT, "connect-timeout") from None
    except OSError as error:
        raise OpeningFailed(OpenResult.UNREACHABLE, "unreachable") from error
    name = None if remote.tls is None else remote.tls.server_name or host
    try:
        with anyio.fail_after(deadline - loop.time()):
            _, connected = await loop.create_connection(
                connection, sock=sock, ssl=context, server_hostname=name
            )
    except BaseException as error:
        sock.close()  # a cancelled handshake leaves it open
        if isinstance(error, OSError):
            raise _tls_failed(error) from error
        raise
    return connected


async def _connected_socket(host: str, port: int) -> socket.socket:
    """Connect to the first address of a host that answers.

    Raises:
        OSError: none does, or the host's name is unknown.
    """
    loop = asyncio.get_running_loop()
    failure: OSError = OSError("no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


def _tls_failed(error: OSError) -> OpeningFailed:
    trouble = trouble_of(error)
    return OpeningFailed(OpenResult.TLS_FAILED, trouble.value, trouble)


async def request_association(
    connection: PeerConnection, request: bytes, *, timeout: float, artim_timeout: float
) -> tuple[SocketPeer, Answer]:
    """Send the A-ASSOCIATE-RQ and wait for the answer, at most `timeout` seconds.

    The target is not read behind its A-ASSOCIATE-AC, until somebody joins it.

    Raises:
        OpeningFailed: there was none, or it made no sense.
    """
    requestor = Requestor(connection, request, artim_timeout=artim_timeout)
    try:
        with anyio.fail_after(timeout):
            return requestor.peer, await requestor.answered()
    except TimeoutError:
        requestor.peer.abort()
        raise OpeningFailed(OpenResult.TIMED_OUT, "association-timeout") from None
    except BaseException:
        requestor.peer.abort()
        raise
