"""A small SCU over any line: associate, C-ECHO, C-STORE, messages, release.

After a method has raised, the association is gone: `close` and open another.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import anyio

from dimse_mesh.client.errors import AssociationError, AssociationFailure
from dimse_mesh.client.line import MAX_PDU_LENGTH, SILENT_SECONDS, ClientLine, StreamLine
from dimse_mesh.dimse import (
    CommandReceived,
    CommandSet,
    DataFragment,
    DimseError,
    Event,
    Status,
    echo_request,
    response_to,
)
from dimse_mesh.dimse.encoding import IMPLICIT_LE
from dimse_mesh.dimse.requests import VERIFICATION_SOP_CLASS
from dimse_mesh.endpoint.own import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
)
from dimse_mesh.upper_layer import (
    AssociateRQ,
    PresentationContextRQ,
    RoleSelection,
)

MAX_CONTEXTS = 128
DEADLINE = 60.0
"""Seconds for the peer's next answer, unless `DicomClient.deadline` is set."""
RELEASE_SECONDS = 5.0
"""Seconds for the peer's answer to a release: everything that was asked for is answered by then."""
MAX_DATA_SET = 64 << 20
"""Bytes of a data set that is read into memory: an identifier, an event's information."""
MAX_REQUESTS = 1000
"""Requests of the peer that wait for `next_request`."""

Context = tuple[str, str]
"""Abstract syntax and transfer syntax."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A presentation context to propose.

    Attributes:
        as_scp: the requests on it will come from the peer, as in C-GET (role selection, PS3.7 §D.3.3.4).
    """

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    as_scp: bool = False


VERIFICATION = Proposal(VERIFICATION_SOP_CLASS, (IMPLICIT_LE,))


@dataclass(frozen=True, slots=True)
class DimseMessage:
    """A message that the peer sent, whole."""

    context_id: int
    command: CommandSet
    data_set: bytes | None


class DicomClient:
    """One association, made by `associate`.

    Attributes:
        accepted: the context id for each context that the target accepted.
        results: the target's word for each context id (PS3.8 table 9-18); ids are 1, 3, ... as proposed.
        scp_for: the SOP classes that the target will send requests of.
        deadline: seconds for the peer's next answer, and for it to take each piece that it is sent. It may be changed
            between calls; nothing below the client has a deadline of its own.
    """

    def __init__(self, line: ClientLine) -> None:
        self._line = line
        self._requests: deque[DimseMessage] = deque()
        self._message_id = 0
        self.accepted: dict[Context, int] = {}
        self.results: dict[int, int] = {}
        self.scp_for: frozenset[str] = frozenset()
        self.deadline = DEADLINE
        self._answer_expected = False

    async def associate(self, *, called_ae: str, calling_ae: str, proposals: Sequence[Proposal]) -> None:
        """Propose presentation contexts, at most 128.

        Raises:
            AssociationError: the target doesn't want it.
        """
        ids = {2 * number + 1: proposal for number, proposal in enumerate(proposals)}
        request = AssociateRQ.build(
            called_ae=called_ae,
            calling_ae=calling_ae,
            contexts=[
                PresentationContextRQ(number, proposal.abstract_syntax, proposal.transfer_syntaxes)
                for number, proposal in ids.items()
            ],
            maximum_length=MAX_PDU_LENGTH,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
            user_items=[RoleSelection(uid, scu_role=0, scp_role=1) for uid in _received(proposals)],
        )
        with self._answers():
            answer = await self._line.associate(request)
        for context in answer.presentation_contexts:
            self.results[context.context_id] = context.result
            if context.accepted and context.context_id in ids:
                key = (ids[context.context_id].abstract_syntax, context.transfer_syntax)
                self.accepted.setdefault(key, context.context_id)
        self.scp_for = frozenset(
            role.sop_class_uid for role in answer.user_items(RoleSelection) if role.scp_role
        )

    async def echo(self) -> int:
        """Verify (PS3.7 §9.1.5); return the status.

        Raises:
            AssociationError: there is no answer.
        """
        context_id, _ = self.context(VERIFICATION_SOP_CLASS)
        return _status(await self.call(context_id, echo_request(self.next_message_id())))

    async def store(
        self, context_id: int, request: CommandSet, data_set: AsyncIterable[bytes | memoryview]
    ) -> CommandSet:
        """Store an object (PS3.7 §9.1.1); return the response.

        Args:
            context_id: of the presentation context.
            request: a C-STORE-RQ.
            data_set: its bytes in parts, of even lengths but for the last. What reading it raises is raised here,
                and the association can't go on.

        Raises:
            AssociationError: there is no answer.
        """
        unsent: CommandSet | None = request
        held: bytes | memoryview = b""  # the last part is marked as such; the first one goes with the request
        async for part in data_set:
            if held:
                await self._write_part(context_id, unsent, held, last=False)
                unsent = None
            held = part
        await self._write_part(context_id, unsent, held, last=True)
        self._answer_expected = True
        response = (await self._response(request)).command
        self._answer_expected = False
        return response

    async def _write_part(
        self, context_id: int, request: CommandSet | None, part: bytes | memoryview, *, last: bool
    ) -> None:
        """Send a part of a data set, behind its request unless that was sent before and is None here."""
        with self._takes():
            if request is None:
                await self._line.write_data(context_id, part, last=last)
            else:
                await self._line.write_message(context_id, request.encode(), part, last=last)

    @property
    def is_idle(self) -> bool:
        """Whether the peer has been silent for so long that it may have ended the association, unheard."""
        return self._line.silence >= SILENT_SECONDS

    async def has_ended(self) -> bool:
        """Tell whether the peer has ended the association, as far as is known; nothing is waited for."""
        return await self._line.has_ended()

    def next_message_id(self) -> int:
        """Return a message id for the next request."""
        self._message_id = self._message_id % 65535 + 1
        return self._message_id

    def context(self, sop_class: str) -> tuple[int, str]:
        """Return id and transfer syntax of an accepted context for `sop_class`.

        Raises:
            AssociationError: there is none.
        """
        for (abstract_syntax, transfer_syntax), context_id in self.accepted.items():
            if abstract_syntax == sop_class:
                return context_id, transfer_syntax
        raise AssociationError(
            "the target accepts no presentation context for it", AssociationFailure.NO_CONTEXT
        )

    async def send(self, context_id: int, command: CommandSet, data_set: bytes | None = None) -> None:
        """Send a message.

        Raises:
            AssociationError: the peer takes it no more.
        """
        with self._takes():
            await self._line.write_message(context_id, command.encode(), data_set)

    async def call(self, context_id: int, request: CommandSet, data_set: bytes | None = None) -> DimseMessage:
        """Send a request and return its response; requests of the peer wait for `next_request` meanwhile.

        Raises:
            AssociationError: there is no answer.
        """
        await self.send(context_id, request, data_set)
        return await self._response(request)

    async def next_request(self) -> DimseMessage:
        """Return the next request of the peer (PS3.7 §10.1.1, N-EVENT-REPORT); answer it with `send`.

        Raises:
            AssociationError: it sends none.
        """
        if not self._requests:
            with self._answers():
                message = await self._next_message()
            if message.command.is_response:
                raise AssociationError("the target answers what nobody asked")
            return message
        return self._requests.popleft()

    async def next_event(self) -> Event:
        """Return the next command set, or fragment of a data set.

        Raises:
            AssociationError: none comes.
        """
        with self._answers():
            return await self._next_event()

    async def message(self, received: CommandReceived) -> DimseMessage:
        """Return a command set together with its data set, read into memory.

        Raises:
            AssociationError: it doesn't end, or is longer than `MAX_DATA_SET`.
        """
        return await self._whole(received, self.next_event)

    async def _next_event(self) -> Event:
        try:
            return await self._line.next_event()
        except AssociationError as error:
            if error.failure is AssociationFailure.LOST and self._answer_expected:
                raise AssociationError(str(error), AssociationFailure.NO_RESPONSE) from error
            raise

    async def _whole(
        self, received: CommandReceived, next_event: Callable[[], Awaitable[Event]]
    ) -> DimseMessage:
        """Return a command set together with its data set, the fragments of which `next_event` brings."""
        try:
            command = CommandSet.parse(received.command)
        except DimseError as error:
            raise AssociationError(f"the peer breaks the protocol: {error.code}") from error
        if not received.head.has_data_set:
            return DimseMessage(received.context_id, command, None)
        parts: list[memoryview] = []
        size, last = 0, False
        while not last:
            event = await next_event()
            assert isinstance(event, DataFragment)  # the assembler lets nothing else follow
            size += len(event.fragment)
            if size > MAX_DATA_SET:
                raise AssociationError(f"the peer sends a data set of more than {MAX_DATA_SET} bytes")
            parts.append(event.fragment)
            last = event.last
        return DimseMessage(received.context_id, command, b"".join(parts))

    async def refuse(self, request: DimseMessage) -> None:
        """Answer a request that nobody here expects (PS3.7 §C.5.21, unrecognized operation)."""
        if request.command.message_id is not None:
            answer = response_to(request.command, Status.UNRECOGNIZED_OPERATION)
            await self.send(request.context_id, answer)

    async def _next_message(self) -> DimseMessage:
        event = await self._next_event()
        assert isinstance(event, CommandReceived)  # a data set is always read to its end
        return await self._whole(event, self._next_event)

    async def _response(self, request: CommandSet) -> DimseMessage:
        """Return the response to a request, whole within the deadline, whatever else the peer sends meanwhile.

        A second response to an earlier request is no word about this one.
        """
        with self._answers():
            while True:
                message = await self._next_message()
                if message.command.is_response:
                    if not message.command.answers(request):
                        raise AssociationError("the target answers what nobody asked")
                    return message
                if len(self._requests) == MAX_REQUESTS:
                    raise AssociationError(f"the target sends more than {MAX_REQUESTS} requests of its own")
                self._requests.append(message)

    def _answers(self) -> AbstractContextManager[None]:
        """Bound what is awaited of the peer, however many PDUs it comes in: a byte now and then is no answer."""
        return _within(self.deadline, "no answer within")

    def _takes(self) -> AbstractContextManager[None]:
        """Bound how long the peer may leave what is sent to it unread."""
        return _within(self.deadline, "the peer takes nothing for")

    async def release(self) -> None:
        """Release (PS3.8 §9.1.3) and close, whatever the peer answers, or `RELEASE_SECONDS` later."""
        self.deadline = RELEASE_SECONDS
        try:
            with self._answers():
                await self._line.release()
        except AssociationError:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Close: an association that stands is lost."""
        self._line.close()


@contextmanager
def _within(seconds: float, late: str) -> Iterator[None]:
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError:
        raise AssociationError(f"{late} {seconds:g} s", AssociationFailure.TIMED_OUT) from None


def _received(proposals: Iterable[Proposal]) -> list[str]:
    """Return each SOP class once whose requests are to come from the peer."""
    return list(dict.fromkeys(proposal.abstract_syntax for proposal in proposals if proposal.as_scp))


def _status(response: DimseMessage) -> int:
    status = response.command.status
    if status is None:
        raise AssociationError("the target answers without a status")
    return status


async def connect_tcp(
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
    timeout: float = DEADLINE,
) -> DicomClient:
    """Connect over TCP or TLS; asyncio sets TCP_NODELAY.

    Raises:
        AssociationError: nobody listens there, or no TLS that is trusted.
    """
    where = f"{host}:{port}"
    try:
        with anyio.fail_after(timeout):
            reader, writer = await asyncio.open_connection(
                host, port, ssl=tls, server_hostname=(server_name or host) if tls is not None else None
            )
    except TimeoutError:
        failure = AssociationFailure.TIMED_OUT
        raise AssociationError(f"no connection to {where} within {timeout:g} s", failure) from None
    except ssl.SSLError as error:
        failure = AssociationFailure.TLS_FAILED
        raise AssociationError(f"no TLS with {where}: {error.reason or 'handshake'}", failure) from error
    except OSError as error:
        text = f"can't connect to {where}: {error.strerror or error}"
        raise AssociationError(text, AssociationFailure.UNREACHABLE) from error
    return DicomClient(StreamLine(reader, writer))
