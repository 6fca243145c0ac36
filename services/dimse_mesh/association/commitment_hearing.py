"""Hear the destinations of this zone that report to our own AE title (storage commitment).

The delivery service of the zone has asked them (`delivery.commitment.ae_title`). A destination that reports on a new
association opens it towards a listener, that is, a front-end, which accepts it and hands the report on.
"""

from __future__ import annotations

import asyncio
import uuid

import anyio

from dimse_mesh.association.accepting import OwnAssociations
from dimse_mesh.association.acceptor import Acceptor
from dimse_mesh.association.durable_contexts import asks_for_nothing_else
from dimse_mesh.association.durable_session import DurableSession
from dimse_mesh.dimse import CommandReceived, CommandSet, Status
from dimse_mesh.dimse.commitment import COMMITMENT_SYNTAXES, STORAGE_COMMITMENT
from dimse_mesh.endpoint.auditing import AssociationAudit
from dimse_mesh.mesh import EnvelopeError, Message, PayloadTooLarge, pack, unpack
from dimse_mesh.policy import Objection
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.commitment import CommitmentHeard, CommitmentHeardReply
from dimse_mesh.schemas.subjects import Kind
from dimse_mesh.upper_layer import (
    AssociateRQ,
    ContextResult,
    PresentationContextAC,
    PresentationContextRQ,
    RoleSelection,
    significant_uid,
)

TIMEOUT = 20.0
"""Seconds for the delivery service to keep a report."""


class ReportHearing:
    """Takes the associations on which destinations report."""

    def __init__(self, context: ServiceContext) -> None:
        self._context = context
        self._settings = context.settings.association
        self._title = context.settings.delivery.commitment.ae_title
        self._associations = OwnAssociations(context)
        self._waiting: dict[str, asyncio.Future[int]] = {}
        """Reports that a delivery service hasn't answered yet, by id."""

    async def listen(self) -> None:
        """Hear what the delivery services of the zone answer."""
        mesh = self._context.mesh
        await mesh.subscribe(mesh.subjects.mine(Kind.COMMITMENT), self._answered)

    def takes(self, request: AssociateRQ) -> bool:
        """Tell whether an association is to be accepted here: one that calls our own title about nothing else."""
        return (
            request.called_ae == self._title
            and asks_for_nothing_else(request)
            and any(
                significant_uid(context.abstract_syntax) == STORAGE_COMMITMENT
                for context in request.presentation_contexts
            )
        )

    def drain(self) -> None:
        """Abort each association as soon as no operation is under way."""
        self._associations.drain()

    async def serve(
        self,
        acceptor: Acceptor,
        request: AssociateRQ,
        *,
        audit: AssociationAudit,
        objection: Objection,
        traceparent: str | None,
    ) -> str:
        """Accept an association and serve it to its end; return the code of its end.

        Args:
            audit: is told when the association stands, and when it has ended.
            objection: what the policy says of an operation, by its command field.
        """
        contexts = [_answer(context) for context in request.presentation_contexts]
        session = DurableSession(
            acceptor.peer,
            contexts={
                context.context_id: significant_uid(context.transfer_syntax)
                for context in contexts
                if context.accepted
            },
            storing=None,
            commitment=None,
            report=self._report,
            objection=objection,
            counters=self._context.counters,
            stalled_timeout=self._settings.stalled_read_timeout,
            idle_timeout=self._settings.idle_timeout,
            traceparent=traceparent,
        )
        roles = request.user_items(RoleSelection)
        return await self._associations.serve(
            acceptor, request, session, contexts=contexts, roles=roles, audit=audit
        )

    async def _report(
        self,
        session: DurableSession,  # noqa: ARG002 - as `TakeCommitment`
        received: CommandReceived,  # noqa: ARG002
        command: CommandSet,  # noqa: ARG002
        information: bytes | None,
        *,
        transfer_syntax: str,
    ) -> tuple[int, str | None]:
        """Hand a report on to the delivery service; return the status that the destination gets, and a comment."""
        if information is None:
            return Status.INVALID_ARGUMENT_VALUE, "no list of instances, or too long a one"
        mesh = self._context.mesh
        status: int = Status.PROCESSING_FAILURE
        for instance in self._context.liveness.instances:
            address = instance.address
            if address.role is Role.DELIVERY and address.zone == mesh.address.zone:
                status = await self._ask(address, information, transfer_syntax)
                if status == Status.SUCCESS:
                    return status, None
        comment = "no delivery service takes it now" if status == Status.PROCESSING_FAILURE else None
        return status, comment

    async def _ask(self, delivery: InstanceAddress, information: bytes, transfer_syntax: str) -> int:
        """Hand a report on to one delivery service; return its status, or processing failure if it says none."""
        mesh = self._context.mesh
        heard = CommitmentHeard(heard_id=uuid.uuid4().hex, transfer_syntax=transfer_syntax)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[heard.heard_id] = future
        try:
            mesh.publish(mesh.subjects.to(delivery, Kind.COMMITMENT), pack(heard, information))
            with anyio.move_on_after(TIMEOUT):
                return await future
        except PayloadTooLarge:
            return Status.RESOURCE_LIMITATION
        finally:
            del self._waiting[heard.heard_id]
        return Status.PROCESSING_FAILURE

    def _answered(self, message: Message) -> None:
        sender = message.sender
        if (
            sender is None
            or sender.role is not Role.DELIVERY
            or sender.zone != self._context.mesh.address.zone
        ):
            return
        try:
            reply, _ = unpack(CommitmentHeardReply, message.payload)
        except EnvelopeError:
            return
        future = self._waiting.get(reply.heard_id)
        if future is not None and not future.done():
            future.set_result(reply.status)


def _answer(context: PresentationContextRQ) -> PresentationContextAC:
    if significant_uid(context.abstract_syntax) == STORAGE_COMMITMENT:
        syntaxes = [
            each for each in context.transfer_syntaxes if significant_uid(each) in COMMITMENT_SYNTAXES
        ]
    else:
        syntaxes = list(context.transfer_syntaxes)  # of Verification
    if syntaxes:
        return PresentationContextAC(context.context_id, ContextResult.ACCEPTANCE, syntaxes[0])
    first = context.transfer_syntaxes[0] if context.transfer_syntaxes else ""
    return PresentationContextAC(context.context_id, ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED, first)
