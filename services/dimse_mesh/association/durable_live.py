"""The presentation contexts of other services on an association that stores: live, where the destination is there.

The front-end opens an association of its own to the destination for them, and passes whole messages on, both ways. The
storing neither waits for it nor ends with it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import anyio

from dimse_mesh.association.durable_asking import Live
from dimse_mesh.client import AssociationError, DicomClient, DimseMessage, InProcessLine, Proposal
from dimse_mesh.dimse import (
    CommandField,
    CommandReceived,
    CommandSet,
    failure_status_for,
    response_to,
)
from dimse_mesh.dimse.status import FailureReason
from dimse_mesh.upper_layer import (
    AssociateRQ,
    ContextResult,
    PresentationContextAC,
    PresentationContextRQ,
    significant_uid,
)

log = logging.getLogger(__name__)

MOST_WAITING = 64
"""Messages of a client that wait for the destination to take them; one more is answered with a failure."""
WITHOUT_END = 30 * 86400.0
"""Seconds for the destination's next message: the executor beside it has the deadlines."""

Tell = Callable[[int, bytes, bytes | None], Awaitable[None]]
"""Sends the client a message: its context id, command set and data set."""


class LiveContexts:
    """The association to the destination, and how its contexts and the client's correspond.

    Attributes:
        results: what the client is answered, by its context id.
    """

    def __init__(self, client: DicomClient, asked: Sequence[PresentationContextRQ]) -> None:
        self._client = client
        syntaxes = {number: syntax for (_, syntax), number in client.accepted.items()}
        self.results: dict[int, PresentationContextAC] = {}
        self._there: dict[int, int] = {}
        for number, context in zip(range(1, 256, 2), asked, strict=False):
            result = client.results.get(number, ContextResult.NO_REASON)
            if result == ContextResult.ACCEPTANCE and number in syntaxes:
                self._there[context.context_id] = number
                answer = PresentationContextAC(context.context_id, result, syntaxes[number])
            else:
                result = result or ContextResult.NO_REASON
                answer = PresentationContextAC(context.context_id, result, context.transfer_syntaxes[0])
            self.results[context.context_id] = answer
        self._here = {there: here for here, there in self._there.items()}
        self._open: dict[int, tuple[int, CommandSet]] = {}
        """Operations of the client without a last response: context id and request, by message id."""
        self._waiting: deque[tuple[int, CommandSet, bytes | None]] = deque()
        self._came = anyio.Event()
        self._over = False

    @property
    def is_busy(self) -> bool:
        """Whether the destination owes the client a response."""
        return bool(self._open)

    def takes(self, context_id: int) -> bool:
        """Tell whether messages on a context of the client's go to the destination."""
        return context_id in self._there

    def pass_on(self, context_id: int, command: CommandSet, data: bytes | None) -> bool:
        """Send a message of the client's on; False: the destination takes none now."""
        if self._over or len(self._waiting) >= MOST_WAITING:
            return False
        message_id = command.message_id
        is_request = not command.is_response and command.command_field != CommandField.C_CANCEL_RQ
        if is_request and message_id is not None:
            self._open[message_id] = (context_id, command)
        self._waiting.append((context_id, command, data))
        self._came.set()
        return True

    async def run(self, tell: Tell) -> None:
        """Pass messages on, both ways, until cancelled, or until the association to the destination ends.

        Then what it still owes the client is answered with a failure.
        """
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._send)
                while not self._over:
                    await self._receive(tell)
                tasks.cancel_scope.cancel()
        finally:
            self._over = True
        while self._open:
            _, (context_id, request) = self._open.popitem()
            status = failure_status_for(request.command_field, FailureReason.PROCESSING_FAILURE)
            await tell(context_id, response_to(request, status).encode(), None)

    async def _send(self) -> None:
        while True:
            while self._waiting:
                context_id, command, data = self._waiting.popleft()
                try:
                    await self._client.send(self._there[context_id], command, data)
                except AssociationError:
                    return  # who receives hears it, too
            await self._came.wait()
            self._came = anyio.Event()

    async def _receive(self, tell: Tell) -> None:
        try:
            event = await self._client.next_event()
            assert isinstance(event, CommandReceived)  # a data set is always read to its end
            message: DimseMessage = await self._client.message(event)
        except AssociationError as error:
            log.info("other services of a client that stores are over: %s", error)
            self._over = True
            return
        command = message.command
        await tell(self._here[message.context_id], event.command, message.data_set)
        if command.is_response and not command.is_pending:
            self._open.pop(command.message_id_being_responded_to or 0, None)

    async def close(self) -> None:
        """Release the association to the destination, or abort it where something is under way."""
        self._over = True
        if not self._open:
            with anyio.CancelScope(shield=True):
                await self._client.release()
        self._client.close()


def no_results(contexts: Sequence[PresentationContextRQ]) -> dict[int, PresentationContextAC]:
    """Return what a client is answered whose destination isn't there: not that it doesn't know the services."""
    return {
        context.context_id: PresentationContextAC(
            context.context_id, ContextResult.NO_REASON, context.transfer_syntaxes[0]
        )
        for context in contexts
    }


async def open_live(
    request: AssociateRQ, contexts: Sequence[PresentationContextRQ], *, live: Live, within: float
) -> LiveContexts | None:
    """Associate with the destination for some contexts of a client's; None: it isn't there in time, or rejects that."""
    client = DicomClient(InProcessLine(live()))
    try:
        with anyio.fail_after(within):
            await client.associate(
                called_ae=request.called_ae,
                calling_ae=request.calling_ae,
                proposals=[
                    Proposal(
                        significant_uid(context.abstract_syntax),
                        tuple(map(significant_uid, context.transfer_syntaxes)),
                    )
                    for context in contexts
                ],
            )
    except (AssociationError, ValueError, TimeoutError) as error:
        log.info("other services of a client that stores are not offered: %s", error)
        client.close()
        return None
    except BaseException:
        client.close()
        raise
    client.deadline = WITHOUT_END
    return LiveContexts(client, contexts)
