"""C-FIND, C-MOVE and C-GET (PS3.7 §9.1.2 to §9.1.4) of a `DicomClient`.

One request, its responses in order, C-CANCEL.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from dimse_mesh.app.printable import printable
from dimse_mesh.client import AssociationError, DicomClient, DimseMessage
from dimse_mesh.dimse import (
    CommandField,
    CommandReceived,
    CommandSet,
    DataFragment,
    Priority,
    Tag,
    cancel_request,
    response_to,
)

DATA_SET_FOLLOWS = 0x0001
LONGEST_IDENTIFIER = 16 << 20
"""Bytes of an identifier that are kept."""
RESPONSE_DEADLINE = 600.0
"""Seconds for the next response: a target may move for minutes without saying anything."""


class InstanceSink(Protocol):
    """Where C-GET's sub-operations go; one object after another."""

    async def begin(self, request: CommandSet, transfer_syntax: str) -> None:
        """Begin an object: its C-STORE request has come."""

    async def write(self, fragment: memoryview) -> None:
        """Take the next piece of its data set."""

    async def end(self) -> int:
        """End the object and return the status of its C-STORE response."""


@dataclass(frozen=True, slots=True)
class SubOperations:
    """What the target counts (PS3.7 §9.1.3.1.6 to 9); None: it doesn't say."""

    remaining: int | None
    completed: int | None
    failed: int | None
    warning: int | None

    @property
    def total(self) -> int | None:
        """All of them, once the target has said enough."""
        if self.remaining is None or self.completed is None:
            return None
        return self.remaining + self.done

    @property
    def done(self) -> int:
        """Those that have ended, in whatever way."""
        return (self.completed or 0) + (self.failed or 0) + (self.warning or 0)


@dataclass(frozen=True, slots=True)
class Response:
    """One response; `identifier` is encoded in the query's transfer syntax.

    Attributes:
        whole: whether all of the identifier is there; of a very long one the end is dropped.
    """

    command: CommandSet
    status: int
    identifier: bytes | None
    whole: bool = True

    @property
    def comment(self) -> str:
        """What the target says of its status, fit to be printed; empty: nothing."""
        return printable(self.command.error_comment or "")

    @property
    def counts(self) -> SubOperations:
        """The sub-operations of a C-MOVE or C-GET."""
        command = self.command
        return SubOperations(
            command.remaining_suboperations,
            command.completed_suboperations,
            command.failed_suboperations,
            command.warning_suboperations,
        )


class Query:
    """A C-FIND, C-MOVE or C-GET on an association that carries nothing else meanwhile.

    Args:
        sop_class: its presentation context is the query's.
        destination: the AE title to move to; C-MOVE only.
        storage: for C-GET's sub-operations; a C-STORE request is refused without.

    Raises (from the constructor):
        AssociationError: the target accepted no presentation context for `sop_class`.
    """

    def __init__(
        self,
        client: DicomClient,
        operation: CommandField,
        sop_class: str,
        *,
        destination: str | None = None,
        storage: InstanceSink | None = None,
    ) -> None:
        client.deadline = RESPONSE_DEADLINE
        self._client = client
        self._context_id, self.transfer_syntax = client.context(sop_class)
        self._message_id = client.next_message_id()
        self._storage = storage
        self._syntaxes = {context_id: syntax for (_, syntax), context_id in client.accepted.items()}
        self._request = CommandSet.build(
            {
                Tag.AffectedSOPClassUID: sop_class,
                Tag.CommandField: operation,
                Tag.MessageID: self._message_id,
                **({} if destination is None else {Tag.MoveDestination: destination}),
                Tag.Priority: Priority.MEDIUM,
                Tag.CommandDataSetType: DATA_SET_FOLLOWS,
            }
        )
        self.cancelled = False
        """Whether C-CANCEL was sent."""

    async def responses(self, identifier: bytes) -> AsyncIterator[Response]:
        """Send the request with `identifier`, encoded in `transfer_syntax`; yield responses up to the final one.

        Raises:
            AssociationError: the association is lost before the final response.
        """
        await self._client.send(self._context_id, self._request, identifier)
        while True:
            event = await self._client.next_event()
            assert isinstance(event, CommandReceived)  # data sets are read to their end below
            if event.head.command_field == CommandField.C_STORE_RQ and self._storage is not None:
                await self._take(event, self._storage)
                continue
            command, data_set, whole = await self._message(event)
            if not command.is_response:
                await self._client.refuse(DimseMessage(event.context_id, command, data_set))
                continue
            status = command.status
            if command.message_id_being_responded_to != self._message_id:
                raise AssociationError("the target answers what nobody asked")
            if status is None:
                raise AssociationError("the target answers without a status")
            yield Response(command, status, data_set, whole)
            if not command.is_pending:
                return

    async def cancel(self) -> None:
        """Ask the target to stop (C-CANCEL, PS3.7 §9.3.2.3); its final response still comes. Asks once.

        Raises:
            AssociationError: the association is lost.
        """
        if not self.cancelled:
            self.cancelled = True
            await self._client.send(self._context_id, cancel_request(self._message_id))

    async def _message(self, received: CommandReceived) -> tuple[CommandSet, bytes | None, bool]:
        """Return a command set, the data set behind it as far as it is not too long, and whether that is all of it."""
        command = CommandSet.parse(received.command)
        if not received.head.has_data_set:
            return command, None, True
        parts: list[memoryview] = []
        room, whole, last = LONGEST_IDENTIFIER, True, False
        while not last:
            event = await self._client.next_event()
            assert isinstance(event, DataFragment)
            parts.append(event.fragment[:room])
            whole = whole and len(event.fragment) <= room
            room -= len(parts[-1])
            last = event.last
        return command, b"".join(parts), whole

    async def _take(self, received: CommandReceived, storage: InstanceSink) -> None:
        """Pass a C-STORE sub-operation on and answer it (PS3.4 §C.4.3.2)."""
        request = CommandSet.parse(received.command)
        if request.message_id is None:
            raise AssociationError("the target sends a C-STORE request without a message id")
        await storage.begin(request, self._syntaxes.get(received.context_id, ""))
        last = not received.head.has_data_set
        while not last:
            event = await self._client.next_event()
            assert isinstance(event, DataFragment)
            await storage.write(event.fragment)
            last = event.last
        status = await storage.end()
        await self._client.send(received.context_id, response_to(request, status))
