"""A line from the delivery service to a place: no socket, no PDUs, the storage SCP itself at the other end."""

from __future__ import annotations

from collections import deque

from dimse_mesh.client import AssociationError, AssociationFailure, ClientLine
from dimse_mesh.client.line import MAX_PDU_LENGTH
from dimse_mesh.dimse import COMMAND_FLAG, LAST_FLAG, DimseError, Event, MessageAssembler
from dimse_mesh.storage import StorageAssociation, StorageTarget
from dimse_mesh.upper_layer import AssociateAC, AssociateRQ


class StorageLine(ClientLine):
    """One association with a place."""

    def __init__(self, target: StorageTarget) -> None:
        self._target = target
        self._association: StorageAssociation | None = None
        self._to_place = MessageAssembler()
        self._from_place = MessageAssembler()
        self._events: deque[Event] = deque()

    @property
    def silence(self) -> float:
        """0: a place is there as long as we are."""
        return 0.0

    async def has_ended(self) -> bool:
        """Tell that it hasn't."""
        return False

    async def associate(self, request: AssociateRQ) -> AssociateAC:
        """Ask for the association; return what was accepted."""
        opened = self._target.associate(request, maximum_length=MAX_PDU_LENGTH)
        self._association = opened.association
        return opened.negotiated.answer

    async def write_message(
        self, context_id: int, command: bytes, data: bytes | memoryview | None, *, last: bool = True
    ) -> None:
        """Give it a command set, with its data set, or the first piece of it, unless that is None."""
        await self._write(context_id, COMMAND_FLAG | LAST_FLAG, command)
        if data is not None:
            await self.write_data(context_id, data, last=last)

    async def write_data(self, context_id: int, data: bytes | memoryview, *, last: bool) -> None:
        """Give it a piece of the data set of the last command set."""
        await self._write(context_id, LAST_FLAG if last else 0, data)

    async def _write(self, context_id: int, flags: int, fragment: bytes | memoryview) -> None:
        association = self._association
        if association is None:
            raise AssociationError("there is no association", AssociationFailure.LOST)
        try:
            event = self._to_place.pdv(context_id, flags, memoryview(fragment))
            if event is None:
                return
            answered = await association.take(event)
        except DimseError as error:
            raise AssociationError(f"what is sent breaks the protocol: {error.code}") from error
        if answered is not None:
            said = memoryview(answered.command.encode())
            response = self._from_place.pdv(answered.context_id, COMMAND_FLAG | LAST_FLAG, said)
            assert response is not None
            self._events.append(response)

    async def next_event(self) -> Event:
        """Return the next response: a place has answered, or never will."""
        if not self._events:
            raise AssociationError("the place says nothing", AssociationFailure.NO_RESPONSE)
        return self._events.popleft()

    async def release(self) -> None:
        """Release."""
        association, self._association = self._association, None
        if association is not None:
            await association.close()

    def close(self) -> None:
        """Close: an object that hasn't come whole is forgotten."""
        association, self._association = self._association, None
        if association is not None:
            association.abandon()
