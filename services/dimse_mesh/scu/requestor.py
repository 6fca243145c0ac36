"""A target's connection from TCP to its answer to the A-ASSOCIATE-RQ (PS3.8 Sta4 and Sta5)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio

from dimse_mesh.endpoint import PeerConnection
from dimse_mesh.runtime.settings_scu import RemoteAe
from dimse_mesh.schemas.association import OpenResult
from dimse_mesh.upper_layer import AssociationMachine, Event, PduType, UpperLayerError, encode_pdu

_RESULTS = {
    PduType.ASSOCIATE_AC: OpenResult.ACCEPTED,
    PduType.ASSOCIATE_RJ: OpenResult.REJECTED,
    PduType.ABORT: OpenResult.ABORTED,
}
_EVENTS = {
    PduType.ASSOCIATE_AC: Event.EVT3,
    PduType.ASSOCIATE_RJ: Event.EVT4,
    PduType.ABORT: Event.EVT16,
}


class OpeningFailed(Exception):
    """The target gave no answer that could be passed on."""

    def __init__(self, result: OpenResult, detail: str) -> None:
        super().__init__(detail)
        self.result = result
        self.detail = detail


@dataclass(slots=True)
class Answer:
    """What the target answered: the PDU's type and body, and whole PDUs that came right behind it."""

    result: OpenResult
    pdu_type: int
    body: bytes
    following: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def pdu(self) -> bytes:
        """The PDU, whole."""
        return encode_pdu(self.pdu_type, self.body)


class Requestor:
    """Receives a target's answer. Stops reading behind it, until the link takes over."""

    __slots__ = ("_answered", "_connection", "_failure", "answer", "machine")

    def __init__(self, connection: PeerConnection) -> None:
        self._connection = connection
        self._answered = anyio.Event()
        self._failure: OpeningFailed | None = None
        self.answer: Answer | None = None
        self.machine = AssociationMachine(requestor=True)
        self.machine.handle(Event.EVT1)
        self.machine.handle(Event.EVT2)
        connection.receiver = self

    @property
    def connection(self) -> PeerConnection:
        """The target's."""
        return self._connection

    async def answered(self) -> Answer:
        """Wait for the answer.

        Raises:
            OpeningFailed: the target closed, or sent something else.
        """
        await self._answered.wait()
        if self.answer is None:
            assert self._failure is not None
            raise self._failure
        return self.answer

    def pdus_received(self, pdus: list[tuple[int, memoryview]]) -> None:
        """Take the answer, and keep what follows it."""
        pdu_type, body = pdus[0]
        if self._answered.is_set() or pdu_type not in _RESULTS:
            self._fail("unexpected-pdu")
            return
        kind = PduType(pdu_type)
        self.machine.handle(_EVENTS[kind])
        following = [(following_type, bytes(following_body)) for following_type, following_body in pdus[1:]]
        self.answer = Answer(_RESULTS[kind], pdu_type, bytes(body), following)
        self._connection.pause_reading()
        self._answered.set()

    def protocol_error(self, error: UpperLayerError) -> None:
        """Give up: what came is no PDU."""
        self._fail(error.code)

    def transport_lost(self) -> None:
        """Give up: the target has closed. After its reject or abort that is in order."""
        if self.answer is None or self.answer.result is OpenResult.ACCEPTED:
            self._fail("closed-by-target")

    def writable_again(self) -> None:
        """Nothing waits to be written."""

    def _fail(self, detail: str) -> None:
        if self._failure is None:
            self.answer = None
            self._failure = OpeningFailed(OpenResult.UNREACHABLE, detail)
            self._answered.set()
            self._connection.abort()


async def connect(
    remote: RemoteAe, *, connection: Callable[[], PeerConnection], context: ssl.SSLContext | None
) -> PeerConnection:
    """Connect to a target within its `connect_timeout`; `connection` makes the protocol for it.

    Raises:
        OpeningFailed: it can't be reached, or TLS doesn't stand.
    """
    loop = asyncio.get_running_loop()
    name = (remote.tls.server_name or remote.host) if remote.tls is not None else None
    try:
        with anyio.fail_after(remote.connect_timeout):
            _, connected = await loop.create_connection(
                connection,
                remote.host,
                remote.port,
                ssl=context,
                server_hostname=name,
            )
    except TimeoutError:
        raise OpeningFailed(OpenResult.TIMED_OUT, "connect-timeout") from None
    except ssl.SSLCertVerificationError as error:  # OpenSSL's words; a name in them is from our settings
        detail = f"its certificate is refused: {error.verify_message}"
        raise OpeningFailed(OpenResult.TLS_FAILED, detail) from error
    except ssl.SSLError as error:
        raise OpeningFailed(OpenResult.TLS_FAILED, f"TLS failed: {error.reason or 'handshake'}") from error
    except (ConnectionResetError, ConnectionAbortedError, BrokenPipeError) as error:
        if context is None:
            raise OpeningFailed(OpenResult.UNREACHABLE, "unreachable") from error
        raise OpeningFailed(OpenResult.TLS_FAILED, "closed in the TLS handshake: no TLS there?") from error
    except OSError as error:
        raise OpeningFailed(OpenResult.UNREACHABLE, "unreachable") from error
    return connected


async def request_association(connection: PeerConnection, pdu: bytes, *, timeout: float) -> Requestor:
    """Send the A-ASSOCIATE-RQ and wait for the answer, at most `timeout` seconds.

    Raises:
        OpeningFailed: there was none, or it made no sense.
    """
    requestor = Requestor(connection)
    connection.write(pdu)
    try:
        with anyio.fail_after(timeout):
            await requestor.answered()
    except TimeoutError:
        connection.abort()
        raise OpeningFailed(OpenResult.TIMED_OUT, "association-timeout") from None
    except BaseException:
        connection.abort()
        raise
    return requestor
