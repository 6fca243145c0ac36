"""The front-end's part in durable delivery: it accepts the association itself, whatever its destination does."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from dimse_mesh.association.acceptor import Acceptor
from dimse_mesh.association.durable_asking import Asker, Live
from dimse_mesh.association.durable_contexts import answer_contexts, pairs_of, stored_contexts
from dimse_mesh.association.durable_session import DurableSession
from dimse_mesh.endpoint import Router
from dimse_mesh.endpoint.own import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dimse_mesh.mesh import JetStream, MeshError
from dimse_mesh.policy import PolicyRefusal
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.routing import Delivery, Route
from dimse_mesh.runtime.spools import spool_of, spools_of
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.spool import Knowledge, ObjectWriter, ensure_streams
from dimse_mesh.upper_layer import AssociateAC, AssociateRQ, RoleSelection, significant_uid

log = logging.getLogger(__name__)


class DurableFrontEnd:
    """Takes associations of durable routes on which objects are to be stored; made by `durable_front_end`."""

    def __init__(self, context: ServiceContext, router: Router, jetstream: JetStream) -> None:
        self._context = context
        self._router = router
        self._jetstream = jetstream
        self._settings = context.settings.association
        self._spool_settings = context.settings.spool
        self._known: dict[SpoolSubjects, Knowledge] = {}
        self._askers: dict[SpoolSubjects, Asker] = {}
        self._sessions: set[DurableSession] = set()

    async def open(self, spool: SpoolSubjects) -> None:
        """Remember what a destination is known to accept.

        Raises:
            MeshError: it can't be read.
        """
        if spool in self._known:
            return
        knowledge = Knowledge(self._jetstream, spool)
        await knowledge.load()
        self._known[spool] = knowledge
        self._askers[spool] = Asker(knowledge, self._spool_settings, spool)

    @staticmethod
    def takes(request: AssociateRQ, route: Route) -> bool:
        """Tell whether an association is to be accepted here: its route is durable, and its client wants to store."""
        return route.delivery is Delivery.DURABLE and bool(stored_contexts(request))

    def drain(self) -> None:
        """Abort each association as soon as no operation is under way."""
        for session in self._sessions:
            session.drain()

    async def serve(
        self,
        acceptor: Acceptor,
        request: AssociateRQ,
        route: Route,
        *,
        objection: Callable[[int], PolicyRefusal | None],
        traceparent: str | None,
        live: Live,
    ) -> str:
        """Accept an association and serve it to its end; return the code of its end.

        Args:
            objection: what the policy says of an operation, by its command field.
            live: makes a client in this process that is to go to the destination itself.
        """
        assert route.to is not None  # ZoneSettings: a durable route names its destination
        spool = spool_of(self._context.settings, route.to)
        called, calling = route.called_ae or request.called_ae, route.calling_ae or request.calling_ae
        knowledge = self._known[spool]
        if route.accepts is None:
            pairs = pairs_of(stored_contexts(request))
            await self._askers[spool].ask(
                pairs, called_ae=request.called_ae, calling_ae=request.calling_ae, live=live
            )
        if acceptor.peer.over:
            return "client-gone"
        contexts = answer_contexts(request, known=knowledge.get, configured=route.accepts)
        answer = AssociateAC.build(
            called_ae=request.called_ae,
            calling_ae=request.calling_ae,
            contexts=contexts,
            maximum_length=self._settings.max_pdu_length,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
            user_items=[
                RoleSelection(role.sop_class_uid, scu_role=role.scu_role, scp_role=0)
                for role in request.user_items(RoleSelection)
            ],
        )
        acceptor.peer.accept(
            answer.with_ae_title_bytes(request.called_ae_bytes, request.calling_ae_bytes).encode()
        )
        session = DurableSession(
            acceptor.peer,
            contexts={
                context.context_id: significant_uid(context.transfer_syntax)
                for context in contexts
                if context.accepted
            },
            writer=partial(
                ObjectWriter,
                self._jetstream,
                spool,
                self._spool_settings,
                max_payload=self._context.mesh.max_payload,
            ),
            objection=objection,
            called_ae=called,
            calling_ae=calling,
            counters=self._context.counters,
            stalled_timeout=self._settings.stalled_read_timeout,
            idle_timeout=self._settings.idle_timeout,
            traceparent=traceparent,
        )
        acceptor.peer.join(
            session, max_pdu=request.maximum_length or 0, max_length=self._settings.max_pdu_length
        )
        acceptor.peer.resume_reading()
        self._sessions.add(session)
        self._context.counters.association_opened()
        code = "cancelled"
        try:
            code = await session.run()
        except MeshError as error:
            code = error.code
            raise
        finally:
            self._sessions.discard(session)
            self._context.counters.association_closed(code)
            if code == "cancelled":
                session.abort(code)
        return code


@asynccontextmanager
async def durable_front_end(context: ServiceContext, router: Router) -> AsyncIterator[DurableFrontEnd | None]:
    """Make the streams of this zone's durable routes; None: it has no durable route.

    Raises:
        StartError: JetStream isn't there, is too old, or grants less than the settings ask for.
        MeshError: NATS went away meanwhile.
    """
    settings = context.settings
    spools = spools_of(settings)
    if not spools:
        yield None
        return
    jetstream = JetStream(context.mesh, domain=settings.spool.domain, deadline=settings.spool.deadline)
    await jetstream.start()
    await ensure_streams(jetstream, settings.subject_root, settings.zone, spools, settings.spool)
    front_end = DurableFrontEnd(context, router, jetstream)
    for spool in spools:
        await front_end.open(spool)
    yield front_end
