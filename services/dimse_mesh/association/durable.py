"""The front-end's part in durable delivery: it accepts the association itself, whatever its destination does."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

import anyio
from anyio.abc import TaskGroup

from dimse_mesh.association.accepting import OwnAssociations
from dimse_mesh.association.acceptor import Acceptor
from dimse_mesh.association.commitment import Commitments
from dimse_mesh.association.commitment_report import Reporter
from dimse_mesh.association.durable_asking import Asker, Live
from dimse_mesh.association.durable_contexts import (
    Known,
    answer_contexts,
    asks_for_commitment,
    asks_for_nothing_else,
    other_contexts,
    pairs_of,
    stored_contexts,
)
from dimse_mesh.association.durable_events import DurableEvents
from dimse_mesh.association.durable_live import LiveContexts, no_results, open_live
from dimse_mesh.association.durable_room import RoomBoard
from dimse_mesh.association.durable_session import DurableSession
from dimse_mesh.association.durable_storing import Storing
from dimse_mesh.association.giving_way import GivingWay
from dimse_mesh.endpoint import Router
from dimse_mesh.endpoint.auditing import AssociationAudit
from dimse_mesh.mesh import JetStream
from dimse_mesh.policy import Objection
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.encryption import object_encryption
from dimse_mesh.runtime.logging import described
from dimse_mesh.runtime.routing import CommitmentMode, Delivery, Route
from dimse_mesh.runtime.spools import entrances_of, shares_of, spool_of, spools_of, written_by
from dimse_mesh.schemas.spool import KnownContext
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.spool import AcknowledgedNames, Knowledge, ObjectWriter, naming, until_made
from dimse_mesh.upper_layer import AssociateRQ, RoleSelection, significant_uid

log = logging.getLogger(__name__)


class _Client(NamedTuple):
    """A client whose association is accepted here; see `DurableFrontEnd.serve`."""

    acceptor: Acceptor
    request: AssociateRQ
    route: Route
    audit: AssociationAudit
    objection: Objection
    traceparent: str | None
    association: str
    opened: Callable[[], Callable[[str], None]]


class DurableFrontEnd:
    """Takes associations of durable routes on which objects are to be stored; made by `durable_front_end`.

    Args:
        names: of what it acknowledges.

    Raises (from the constructor):
        StartError: a key of the encryption is unusable.
    """

    def __init__(
        self, context: ServiceContext, router: Router, jetstream: JetStream, names: AcknowledgedNames
    ) -> None:
        self._names = names
        self._context = context
        self._router = router
        self._jetstream = jetstream
        self._settings = context.settings.association
        self._spool_settings = context.settings.spool
        self._encryption = object_encryption(context.settings)
        self._known: dict[SpoolSubjects, Knowledge] = {}
        self._askers: dict[SpoolSubjects, Asker] = {}
        self._associations = OwnAssociations(context)
        self._commitments: Commitments | None = None
        self._room = RoomBoard()
        self._events = DurableEvents.of(context, jetstream)
        context.readiness.needs(self._room.lack)

    async def report_commitments(self, reporter: Reporter) -> None:
        """Offer storage commitment, and report on it, until cancelled."""
        spools = list(self._known)
        self._commitments = Commitments(self._context, self._jetstream, reporter, spools, events=self._events)
        await self._commitments.run()

    async def open(self, spool: SpoolSubjects) -> None:
        """Remember what a destination is known to accept.

        Raises:
            MeshError: it can't be read.
        """
        if spool in self._known:
            return
        await self.follow_room(spool)
        knowledge = Knowledge(self._jetstream, spool)
        await knowledge.load()
        self._known[spool] = knowledge
        self._askers[spool] = Asker(knowledge, self._spool_settings, spool)

    async def follow_room(self, spool: SpoolSubjects) -> None:
        """Hear whether a spool takes more objects, from now on."""
        await self._room.follow(self._context.mesh, self._jetstream, spool)

    async def look_for_room(self) -> None:
        """Look again and again whether spools take more objects, until cancelled."""
        await self._room.look_again(self._spool_settings.look_interval)

    @staticmethod
    def takes(request: AssociateRQ, route: Route) -> bool:
        """Tell whether an association is to be accepted here.

        It is when its route is durable, and its client wants to store, or only to ask whether its objects are safe.
        """
        if route.delivery is not Delivery.DURABLE:
            return False
        if stored_contexts(request):
            return True
        offered = route.commitment is not CommitmentMode.NONE
        return offered and asks_for_commitment(request) and asks_for_nothing_else(request)

    def drain(self) -> None:
        """Abort each association as soon as no operation is under way."""
        self._associations.drain()

    def _known_to_all(self, spools: Sequence[SpoolSubjects]) -> Known:
        """Return what is known of a context: rejected where one of the destinations rejects it."""

        def known(sop_class: str, transfer_syntax: str) -> KnownContext | None:
            words = [self._known[spool].get(sop_class, transfer_syntax) for spool in spools]
            return next((word for word in words if word is not None and not word.accepted), words[0])

        return known

    def _known_to_one(self, spools: Sequence[SpoolSubjects]) -> Known:
        """Return what is known of a context where one of the destinations gets an object: rejected if all reject it."""

        def known(sop_class: str, transfer_syntax: str) -> KnownContext | None:
            words = [self._known[spool].get(sop_class, transfer_syntax) for spool in spools]
            rejected = all(word is not None and not word.accepted for word in words)
            return next((word for word in words if word is not None and word.accepted is not rejected), None)

        return known

    def _writer(self, spools: Sequence[SpoolSubjects], tasks: TaskGroup) -> ObjectWriter:
        max_payload = self._context.mesh.max_payload
        return ObjectWriter(
            self._jetstream,
            spools,
            self._spool_settings,
            tasks,
            max_payload=max_payload,
            encryption=self._encryption,
        )

    async def serve(
        self,
        acceptor: Acceptor,
        request: AssociateRQ,
        route: Route,
        *,
        audit: AssociationAudit,
        objection: Objection,
        traceparent: str | None,
        association: str,
        opened: Callable[[], Callable[[str], None]],
        live: Live,
    ) -> str:
        """Accept an association and serve it to its end; return the code of its end.

        Args:
            audit: is told when the association stands, and when it has ended.
            objection: what the policy says of an operation, by its command field.
            association: its id.
            opened: is told that the association stands; what it returns, that it is over.
            live: makes a client in this process that is to go to the destination itself.
        """
        try:
            client = _Client(acceptor, request, route, audit, objection, traceparent, association, opened)
            return await self._serve(client, live)
        except Exception as error:  # noqa: BLE001 - one client's association must not end the others'
            why = described(error)  # never its text, which may be private
            log.error("an association ended by an error of our own: %s", why)  # noqa: TRY400
            acceptor.peer.leave()
            acceptor.peer.abort()
            return "internal-error"

    async def _serve(self, client: _Client, live: Live) -> str:
        acceptor, request, route = client.acceptor, client.request, client.route
        spools = [spool_of(self._context.settings, destination) for destination in route.destinations]
        others: LiveContexts | None = None
        try:
            async with anyio.create_task_group() as asking:
                # Asked is the first destination: what goes live on this route goes there.
                if route.accepts is None:
                    ask = partial(
                        self._askers[spools[0]].ask,
                        called_ae=request.called_ae,
                        calling_ae=request.calling_ae,
                    )
                    asking.start_soon(partial(ask, pairs_of(stored_contexts(request)), live=live))
                if other := other_contexts(request):
                    within = self._spool_settings.ask_timeout
                    others = await open_live(request, other, live=live, within=within)
            if acceptor.peer.over:
                return "client-gone"
            return await self._accept(client, others)
        finally:
            if others is not None:
                await others.close()

    async def _accept(self, client: _Client, others: LiveContexts | None) -> str:
        """Accept an association and serve it to its end; return the code of its end.

        Args:
            others: its contexts of other services, where the destination offers some.
        """
        request, route = client.request, client.route
        spools = [spool_of(self._context.settings, destination) for destination in route.destinations]
        entrances = entrances_of(self._context.settings, route)
        commitments = None if route.commitment is CommitmentMode.NONE else self._commitments
        contexts = answer_contexts(
            request,
            known=self._known_to_one(spools) if route.by_origin else self._known_to_all(spools),
            configured=route.accepts,
            commitment=commitments is not None,
            live=no_results(other_contexts(request)) if others is None else others.results,
        )
        storing = Storing(
            partial(self._writer, entrances),
            self._names.note,
            called_ae=route.called_ae or request.called_ae,
            calling_ae=route.calling_ae or request.calling_ae,
            route=route.key if route.hooks or route.by_origin else None,
            priority=route.priority,
            receipts=commitments is not None,
            accepted=None
            if self._events is None
            else partial(self._events.accepted, client.association, [spool.label for spool in spools]),
            no_room=partial(self._room.objection, written_by(entrances)),
            giving_way=GivingWay(lambda: self._router.live_seconds),
            traceparent=client.traceparent,
        )
        session = DurableSession(
            client.acceptor.peer,
            contexts={
                context.context_id: significant_uid(context.transfer_syntax)
                for context in contexts
                if context.accepted
            },
            storing=storing,
            commitment=None
            if commitments is None
            else partial(
                commitments.take,
                titles=(request.called_ae, request.calling_ae),
                spools=entrances,
                confirms=route.commitment is CommitmentMode.TARGET,
            ),
            live=others,
            objection=client.objection,
            counters=self._context.counters,
            stalled_timeout=self._settings.stalled_read_timeout,
            idle_timeout=self._settings.idle_timeout,
            traceparent=client.traceparent,
        )
        serve = partial(
            self._associations.serve,
            client.acceptor,
            request,
            session,
            contexts=contexts,
            roles=[
                RoleSelection(role.sop_class_uid, scu_role=role.scu_role, scp_role=0)
                for role in request.user_items(RoleSelection)
            ],
            audit=client.audit,
            opened=client.opened,
        )
        if others is None:
            return await serve()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(others.run, session.tell)
            code = await serve()
            tasks.cancel_scope.cancel()
        return code


@asynccontextmanager
async def durable_front_end(context: ServiceContext, router: Router) -> AsyncIterator[DurableFrontEnd | None]:
    """Wait for the spools of this zone's durable routes; None: it has no durable route.

    Raises:
        MeshError: NATS went away meanwhile, or our user may not see them.
    """
    settings = context.settings
    spools = spools_of(settings)
    if not spools:
        yield None
        return
    jetstream = JetStream(context.mesh, domain=settings.spool.domain, deadline=settings.spool.deadline)
    await jetstream.start()
    async with naming(
        jetstream, max_payload=context.mesh.max_payload, receipts_kept=settings.spool.commitment_age
    ) as names:
        front_end = DurableFrontEnd(context, router, jetstream, names)
        shared = [share.spool for share in shares_of(settings)]
        if await until_made(jetstream, [*spools, *shared], context.draining):
            for spool in spools:
                await front_end.open(spool)
            for spool in shared:
                await front_end.follow_room(spool)
        yield front_end
