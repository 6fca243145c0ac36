"""The association with a destination: opened when there is work, kept while there is, closed when there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing

import anyio

from dimse_mesh.client import (
    MAX_CONTEXTS,
    AssociationError,
    Context,
    DicomClient,
    Proposal,
)
from dimse_mesh.delivery.audit import RELEASED, DeliveryAudit
from dimse_mesh.delivery.dialer import Dialer
from dimse_mesh.delivery.outcomes import (
    DeliveryCause,
    DeliveryOutcome,
    Scope,
    answered,
    opening_failed,
    sending_failed,
)
from dimse_mesh.delivery.storage_line import StorageLine
from dimse_mesh.dimse import Tag
from dimse_mesh.policy import PolicyRefusal
from dimse_mesh.runtime.settings_scu import RemoteAe
from dimse_mesh.spool import DamagedObject, SpooledObject
from dimse_mesh.storage import StorageTarget
from dimse_mesh.transcoding import CannotTranscode, Transcoder, alternatives


class Target:
    """One destination, with at most one association at a time.

    Args:
        response_timeout: seconds for its response to an object.
        audit: is told of the associations.
        objection: what this zone's policy says of called and calling AE titles that want to reach it.
    """

    def __init__(
        self,
        remote: RemoteAe,
        transcoder: Transcoder,
        *,
        response_timeout: float,
        objection: Callable[[str, str], PolicyRefusal | None],
        audit: DeliveryAudit,
    ) -> None:
        self._remote = remote
        self._audit = audit
        self._objection = objection
        self._transcoder = transcoder
        self._response_timeout = response_timeout
        self._dialer = Dialer(remote)
        self._place = None if remote.storage is None else StorageTarget(remote)
        self._client: DicomClient | None = None
        self._titles: tuple[str, str] | None = None
        self._proposed: dict[Context, None] = {}
        """Contexts that objects have needed, the latest last."""
        self._offered: frozenset[Context] = frozenset()
        """Contexts that the association was proposed."""
        self._was_idle = False
        """Whether the association had been idle when it was chosen for the object."""

    @property
    def is_open(self) -> bool:
        """Whether there is an association."""
        return self._client is not None

    async def deliver(
        self,
        spooled: SpooledObject,
        data_set: AsyncIterator[bytes | memoryview],
        *,
        attempts: int,
        ahead: Iterable[Context],
    ) -> DeliveryOutcome:
        """Send an object; return how it ended.

        Args:
            data_set: the pieces of its data set.
            attempts: which attempt at this object it is, from 1.
            ahead: contexts that objects behind it need: proposed at once where an association must be opened.

        Raises:
            MeshError: the data set can't be read now.
        """
        manifest = spooled.manifest
        refusal = self._objection(manifest.called_ae, manifest.calling_ae)
        if refusal is not None:
            detail = f"this zone's own file: {refusal.rule or refusal.code}"
            return DeliveryOutcome(DeliveryCause.REJECTED, detail, scope=Scope.CALLING_AE)
        context = (manifest.sop_class, manifest.transfer_syntax)
        client = await self._associated(spooled, (context,), ahead)
        if isinstance(client, DeliveryOutcome):
            return client
        if context not in client.accepted:
            return await self._deliver_transcoded(spooled, data_set, attempts)
        return await self._send(client, client.accepted[context], spooled, data_set, attempts)

    async def _deliver_transcoded(
        self, spooled: SpooledObject, data_set: AsyncIterator[bytes | memoryview], attempts: int
    ) -> DeliveryOutcome:
        """Send an object in another transfer syntax than its own, if one is accepted that loses nothing.

        Raises:
            MeshError: as `deliver`.
        """
        manifest = spooled.manifest
        others = tuple((manifest.sop_class, syntax) for syntax in alternatives(manifest.transfer_syntax))
        client = await self._associated(spooled, others) if others else self._client
        if isinstance(client, DeliveryOutcome):
            return client
        accepted = {} if client is None else client.accepted
        context = next((context for context in others if context in accepted), None)
        if client is None or context is None:
            if not any(sop_class == manifest.sop_class for sop_class, _ in accepted):
                detail = "the destination accepts no presentation context of the SOP class"
            else:
                detail = "the destination doesn't accept the SOP class in this transfer syntax"
            return DeliveryOutcome(DeliveryCause.NO_CONTEXT, detail, scope=Scope.DEAD_LETTER)
        if manifest.size > self._transcoder.max_bytes:
            return _unchangeable(f"it is larger than {self._transcoder.max_bytes} bytes")
        try:
            async with aclosing(data_set):  # type: ignore[type-var] # the readers of spools are generators
                whole = b"".join([bytes(piece) async for piece in data_set])
            changed = await self._transcoder.transcode(whole, manifest.transfer_syntax, context[1])
        except CannotTranscode as error:
            return _unchangeable(str(error))
        except DamagedObject as damage:
            return DeliveryOutcome(DeliveryCause.DAMAGED, str(damage), scope=Scope.DEAD_LETTER)
        return await self._send(client, accepted[context], spooled, _one(changed), attempts)

    async def _send(
        self,
        client: DicomClient,
        context_id: int,
        spooled: SpooledObject,
        data_set: AsyncIterator[bytes | memoryview],
        attempts: int,
    ) -> DeliveryOutcome:
        """Send an object on an association; return how it ended.

        Raises:
            MeshError: as `deliver`.
        """
        if not spooled.command.has_data_set:
            detail = "its command set announces no data set"
            return DeliveryOutcome(DeliveryCause.DAMAGED, detail, scope=Scope.DEAD_LETTER)
        request = spooled.command.replace({Tag.MessageID: client.next_message_id()})
        try:
            async with aclosing(data_set):  # type: ignore[type-var] # the readers of spools are generators
                response = await client.store(context_id, request, data_set)
        except DamagedObject as damage:
            self._drop(DeliveryCause.DAMAGED.value)
            return DeliveryOutcome(DeliveryCause.DAMAGED, str(damage), scope=Scope.DEAD_LETTER)
        except AssociationError as error:
            outcome = sending_failed(error, attempts, was_idle=self._was_idle)
            self._drop(outcome.cause.value)
            return outcome
        except BaseException:  # the spool can't be read, or the service stops: the object is not whole there
            self.abort()
            raise
        outcome = answered(response, attempts)
        self._audit.sent(outcome, sop_class=spooled.manifest.sop_class, size=spooled.manifest.size)
        return outcome

    async def close(self) -> None:
        """Release the association, if there is one, and end what else was open for it."""
        await self._release()
        await self._transcoder.close()

    async def _release(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with anyio.CancelScope(shield=True):
                over = await client.has_ended()
                await client.release()
            client.close()
            self._audit.ended(DeliveryCause.CONNECTION_LOST.value if over else RELEASED)

    def abort(self) -> None:
        """Drop the association at once."""
        self._drop("cancelled")

    def _drop(self, code: str) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()
            self._audit.ended(code)

    async def _associated(
        self, spooled: SpooledObject, contexts: Sequence[Context], ahead: Iterable[Context] = ()
    ) -> DicomClient | DeliveryOutcome:
        """Return an association of the object's AE titles on which these contexts were proposed.

        Or the outcome, if there is none to be had. Where one must be opened, those `ahead` are proposed, too.
        """
        manifest = spooled.manifest
        titles = (
            self._remote.called_ae or manifest.called_ae,
            self._remote.calling_ae or manifest.calling_ae,
        )
        client = self._client
        if client is not None and self._titles == titles and contexts[-1] in self._offered:
            self._was_idle = client.is_idle
            if not await client.has_ended():
                return client
        await self._release()
        self._was_idle = False
        for context in (*ahead, *contexts):
            self._proposed.pop(context, None)
            self._proposed[context] = None
        while len(self._proposed) > MAX_CONTEXTS:
            del self._proposed[next(iter(self._proposed))]
        try:
            client = await self._open(titles)
        except AssociationError as error:
            outcome = opening_failed(error)
            self._audit.failed(outcome.cause, called=titles[0], calling=titles[1])
            return outcome
        except ValueError as error:
            detail = f"no association can be asked for with what the object says: {error}"
            return DeliveryOutcome(DeliveryCause.PROTOCOL_ERROR, detail, scope=Scope.DEAD_LETTER)
        self._client, self._titles, self._offered = client, titles, frozenset(self._proposed)
        self._audit.opened(called=titles[0], calling=titles[1])
        return client

    async def _open(self, titles: tuple[str, str]) -> DicomClient:
        """Return a new association on which all that was ever needed is proposed.

        Raises:
            AssociationError: there is none to be had.
            ValueError: what the object says can't stand in an A-ASSOCIATE-RQ.
        """
        client = await self._connect()
        try:
            client.deadline = self._remote.association_timeout
            await client.associate(
                called_ae=titles[0],
                calling_ae=titles[1],
                proposals=[Proposal(sop_class, (syntax,)) for sop_class, syntax in self._proposed],
            )
            client.deadline = self._response_timeout
        except BaseException:
            client.close()
            raise
        return client

    async def _connect(self) -> DicomClient:
        """Return a client without an association.

        Raises:
            AssociationError: the destination can't be reached.
        """
        if self._place is not None:
            return DicomClient(StorageLine(self._place))
        return await self._dialer.connect()


def _unchangeable(why: str) -> DeliveryOutcome:
    detail = f"the destination takes another transfer syntax only, and the object can't be changed: {why}"
    return DeliveryOutcome(DeliveryCause.NO_CONTEXT, detail, scope=Scope.DEAD_LETTER)


async def _one(data: bytes) -> AsyncIterator[bytes | memoryview]:
    yield data
