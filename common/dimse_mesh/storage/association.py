"""A storage SCP: takes the messages of one association in turn, stores their objects in a place, answers.

    C-STORE-RQ                    -> begin: nothing is stored yet
    first bytes of its data set   -> its name; is there an object of that name?
    every piece                   -> digest, and the place
    last piece                    -> commit under its name -> 0000H

      the name is taken           -> the same content: 0000H; another: 0111H, or committed as a version
      the place fails             -> A700H; the rest of the data set is taken and dropped

Nothing is answered with success that the place hasn't said it keeps.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import anyio

from dimse_mesh.dimse import (
    CommandField,
    CommandReceived,
    CommandSet,
    DataFragment,
    Event,
    Status,
    failure_status_for,
    response_to,
)
from dimse_mesh.dimse.requests import VERIFICATION_SOP_CLASS
from dimse_mesh.dimse.status import FailureReason
from dimse_mesh.runtime.settings_storage import OnConflict
from dimse_mesh.storage.content import Content, content_of
from dimse_mesh.storage.file_meta import file_head
from dimse_mesh.storage.header import HeadReader
from dimse_mesh.storage.layout import Layout, version_name
from dimse_mesh.storage.negotiation import AcceptedContext
from dimse_mesh.storage.place import NameTaken, Place, PlaceError, Writing
from dimse_mesh.upper_layer import LONGEST_UID

log = logging.getLogger(__name__)

TAGS = {
    "StudyInstanceUID": 0x0020_000D,
    "SeriesInstanceUID": 0x0020_000E,
    "Modality": 0x0008_0060,
    "StudyDate": 0x0008_0020,
    "AccessionNumber": 0x0008_0050,
    "PatientID": 0x0010_0020,
    "SeriesNumber": 0x0020_0011,
    "InstanceNumber": 0x0020_0013,
}
"""The layout's fields that are read from the data set."""
SILENCE = 30.0
"""Seconds in which one kind of trouble is logged once."""


@dataclass(frozen=True, slots=True)
class StorageRules:
    """How objects are named, and what happens when a name is taken."""

    layout: Layout
    on_conflict: OnConflict


class Answered(NamedTuple):
    """A response, and the presentation context that it goes out on."""

    context_id: int
    command: CommandSet


class Troubles:
    """Tells the log of a place's troubles, not of every object that meets the same one."""

    def __init__(self, title: str, where: str) -> None:
        self._title = title
        self._where = where
        self._last: tuple[str, float] | None = None

    def note(self, error: PlaceError) -> None:
        """Log a trouble, unless the same one was logged a moment ago."""
        now = time.monotonic()
        if self._last is None or self._last[0] != error.trouble.value or now - self._last[1] > SILENCE:
            self._last = (error.trouble.value, now)
            log.error("objects for %s are refused: %s: %s", self._title, self._where, error)

    def none(self) -> None:
        """Note that an object was stored."""
        if self._last is not None:
            self._last = None
            log.info("%s stores again: %s", self._title, self._where)


class _Incoming:
    """An object whose data set is coming."""

    def __init__(self, received: CommandReceived, request: CommandSet) -> None:
        self.received = received
        self.request = request
        self.status: int | None = None
        """The failure that is already certain: what still comes is dropped."""
        self.comment: str | None = None
        self.held: list[bytes] = []
        """The head, and pieces that wait until the name is known."""
        self.digest = hashlib.sha256()
        self.name: str | None = None
        self.taken = False
        """Whether an object of that name was there before."""
        self.writing: Writing | None = None
        self.head: HeadReader | None = None


class StorageAssociation:
    """One association with a place.

    Args:
        place: is used by other associations too.
        contexts: SOP class and transfer syntax of the accepted presentation contexts.
        troubles: of the place; shared by its associations.
    """

    def __init__(
        self,
        place: Place,
        rules: StorageRules,
        *,
        contexts: Mapping[int, AcceptedContext],
        calling_ae: str,
        called_ae: str,
        troubles: Troubles,
    ) -> None:
        self._place = place
        self._rules = rules
        self._contexts = contexts
        self._calling_ae = calling_ae
        self._called_ae = called_ae
        self._troubles = troubles
        self._incoming: _Incoming | None = None

    async def take(self, event: Event) -> Answered | None:
        """Take a command set, or a piece of the data set behind the last one; return the response once there is one."""
        if isinstance(event, CommandReceived):
            return await self._command(event)
        return await self._data(event)

    async def close(self) -> None:
        """End: an object that hasn't come whole is forgotten."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None and incoming.writing is not None:
            with anyio.CancelScope(shield=True):
                await incoming.writing.discard()

    def abandon(self) -> None:
        """End at once, as `close` does."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None and incoming.writing is not None:
            incoming.writing.abandon()

    async def _command(self, received: CommandReceived) -> Answered | None:
        request = CommandSet.parse(received.command)
        if request.is_response or request.message_id is None:
            self._incoming = self._dropped(received, request) if received.head.has_data_set else None
            return None
        incoming = _Incoming(received, request)
        field = request.command_field
        context = self._contexts.get(received.context_id)
        if field == CommandField.C_ECHO_RQ:
            incoming.status, incoming.comment = await self._verify()
        elif field != CommandField.C_STORE_RQ:
            incoming.status = failure_status_for(field, FailureReason.UNRECOGNIZED_OPERATION)
        elif context is None or context.sop_class == VERIFICATION_SOP_CLASS:
            incoming.status = Status.SOP_CLASS_NOT_SUPPORTED
        elif not received.head.has_data_set:
            incoming.status, incoming.comment = Status.STORAGE_CANNOT_UNDERSTAND, "it has no data set"
        else:
            sop_class, instance = request.affected_sop_class_uid, request.affected_sop_instance_uid
            if not sop_class or not instance or len(sop_class) > LONGEST_UID or len(instance) > LONGEST_UID:
                incoming.status = Status.INVALID_OBJECT_INSTANCE
            else:
                self._begin(incoming, context, sop_class, instance)
        if received.head.has_data_set:
            self._incoming = incoming
            return None
        return _answer(incoming)

    @staticmethod
    def _dropped(received: CommandReceived, request: CommandSet) -> _Incoming:
        incoming = _Incoming(received, request)
        incoming.status = Status.UNRECOGNIZED_OPERATION
        return incoming

    async def _verify(self) -> tuple[int, str | None]:
        try:
            await self._place.check()
        except PlaceError as error:
            self._troubles.note(error)
            return Status.PROCESSING_FAILURE, _comment(error)
        return Status.SUCCESS, None

    def _begin(self, incoming: _Incoming, context: AcceptedContext, sop_class: str, instance: str) -> None:
        wanted = {TAGS[field] for field in self._rules.layout.fields if field in TAGS}
        incoming.head = HeadReader(frozenset(wanted), context.transfer_syntax)
        incoming.held.append(
            file_head(
                sop_class=sop_class,
                sop_instance=instance,
                transfer_syntax=context.transfer_syntax,
                source_ae=self._calling_ae,
            )
        )

    async def _data(self, event: DataFragment) -> Answered | None:
        incoming = self._incoming
        assert incoming is not None  # the assembler lets no data set come without its command set
        if incoming.status is None:
            try:
                await self._piece(incoming, event)
                if event.last:
                    await self._finish(incoming)
            except PlaceError as error:
                self._troubles.note(error)
                incoming.status = failure_status_for(CommandField.C_STORE_RQ, FailureReason.OUT_OF_RESOURCES)
                incoming.comment = _comment(error)
                incoming.held.clear()
            if incoming.status is not None and incoming.writing is not None:
                writing, incoming.writing = incoming.writing, None
                if incoming.status != Status.SUCCESS:
                    await writing.discard()
        if not event.last:
            return None
        self._incoming = None
        if incoming.request.is_response or incoming.request.message_id is None:
            return None
        return _answer(incoming)

    async def _piece(self, incoming: _Incoming, event: DataFragment) -> None:
        incoming.digest.update(event.fragment)
        if incoming.name is not None:
            if incoming.writing is not None:
                await incoming.writing.write(event.fragment)
            return
        head = incoming.head
        assert head is not None
        incoming.held.append(bytes(event.fragment))
        head.feed(event.fragment)
        if event.last:
            head.finish()
        elif not head.complete:
            return
        await self._open(incoming, head.values)

    async def _open(self, incoming: _Incoming, values: Mapping[int, str]) -> None:
        """Give an object its name, and begin to write it unless it is only to be compared."""
        request = incoming.request
        fields = {field: values[tag] for field, tag in TAGS.items() if tag in values}
        fields |= {
            "SOPInstanceUID": request.affected_sop_instance_uid or "",
            "SOPClassUID": request.affected_sop_class_uid or "",
            "TransferSyntaxUID": self._contexts[incoming.received.context_id].transfer_syntax,
            "CallingAE": self._calling_ae,
            "CalledAE": self._called_ae,
        }
        incoming.name = name = self._rules.layout.name(fields)
        incoming.taken = await self._place.has(name)
        if not incoming.taken or self._rules.on_conflict is OnConflict.VERSION:
            incoming.writing = self._place.write(name, staged=incoming.taken)
            for piece in incoming.held:
                await incoming.writing.write(piece)
        incoming.held.clear()

    async def _finish(self, incoming: _Incoming) -> None:
        name = incoming.name
        assert name is not None
        syntax = self._contexts[incoming.received.context_id].transfer_syntax
        content = Content(syntax, incoming.digest.digest())
        if not incoming.taken:
            assert incoming.writing is not None
            try:
                await self._commit(incoming, incoming.writing, name)
            except NameTaken:
                pass
            else:
                return
        if await content_of(self._place.read(name)) == content:
            await self._already_there(incoming)
            return
        if self._rules.on_conflict is OnConflict.REFUSE:
            incoming.status = Status.DUPLICATE_SOP_INSTANCE
            incoming.comment = "the instance is there with another content"
            return
        assert incoming.writing is not None
        try:
            await self._commit(incoming, incoming.writing, version_name(name, content.digest))
        except NameTaken:  # the name holds the digest
            await self._already_there(incoming)

    async def _commit(self, incoming: _Incoming, writing: Writing, name: str) -> None:
        await writing.commit(name)
        incoming.status = Status.SUCCESS
        self._troubles.none()

    async def _already_there(self, incoming: _Incoming) -> None:
        writing, incoming.writing = incoming.writing, None
        if writing is not None:
            await writing.discard()
        incoming.status = Status.SUCCESS
        self._troubles.none()


def _comment(error: PlaceError) -> str:
    return f"the storage fails: {error.trouble.value}"


def _answer(incoming: _Incoming) -> Answered:
    assert incoming.status is not None
    response = response_to(incoming.request, incoming.status, error_comment=incoming.comment)
    return Answered(incoming.received.context_id, response)
