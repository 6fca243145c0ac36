"""The front-end: each client's connection, from admission until its association is served."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import anyio
from anyio.abc import TaskGroup

from dimse_mesh.association.acceptor import Acceptor
from dimse_mesh.association.admission import Admission
from dimse_mesh.association.admitted import AdmittedClient, Lead
from dimse_mesh.association.association_events import AssociationEvents
from dimse_mesh.association.callbacks import Callbacks
from dimse_mesh.association.commitment_hearing import ReportHearing
from dimse_mesh.association.durable import DurableFrontEnd
from dimse_mesh.association.live import LiveOpener
from dimse_mesh.association.waiting import WaitingRoom
from dimse_mesh.endpoint import (
    PeerConnection,
    Router,
    SocketPeer,
    dimse_service,
)
from dimse_mesh.endpoint.auditing import AssociationAudit, peer_of
from dimse_mesh.endpoint.in_process_peer import InProcessPeer
from dimse_mesh.endpoint.peer import AskingPeer, OpeningUser
from dimse_mesh.endpoint.timed_work import TimedWork
from dimse_mesh.endpoint.tls_trouble import TlsSide, TlsTrouble, TlsTroubles
from dimse_mesh.endpoint.tracing import association_span
from dimse_mesh.mesh.errors import report
from dimse_mesh.mesh.quiet import Quiet
from dimse_mesh.policy import (
    Objection,
    OperationQuestion,
    Policy,
    PolicyRefusal,
    username,
)
from dimse_mesh.policy.rejections import CONGESTION
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.logging import enter_trace
from dimse_mesh.runtime.origin import origin_of
from dimse_mesh.runtime.routing import Delivery, route_for
from dimse_mesh.runtime.settings_association import Listener
from dimse_mesh.upper_layer import (
    AssociateRJ,
    AssociateRQ,
    TlsRecord,
    UserIdentityRQ,
)

log = logging.getLogger(__name__)

LINES_A_MINUTE: Final = 20
"""Log lines about one address and one code."""


class Serve(Protocol):
    """Serves an association that is accepted here to its end."""

    async def __call__(
        self,
        *,
        audit: AssociationAudit,
        objection: Objection,
        traceparent: str | None,
    ) -> str:
        """Return the code of its end."""
        ...


class FrontEnd:
    """Opens the associations of clients who are let in, through the mesh.

    Args:
        tasks: in which associations are opened.
        policy: of this zone.
        durable: takes the associations of durable routes; None: there are no such routes.
    """

    def __init__(
        self,
        context: ServiceContext,
        router: Router,
        tasks: TaskGroup,
        policy: Policy,
        *,
        durable: DurableFrontEnd | None = None,
    ) -> None:
        self._context = context
        self._settings = context.settings.association
        self.router = router
        self._tasks = tasks
        self._policy = policy
        self._durable = durable
        self._quiet = Quiet(lines=LINES_A_MINUTE)
        self.hearing = ReportHearing(context)
        self.callbacks = Callbacks(context.settings.scu.remote_aes)
        self._admission = Admission(context.settings, policy, context.counters)
        self._events = AssociationEvents(context)
        self._live = LiveOpener(context, router, self._events, self._reject)
        self.tls_troubles = TlsTroubles(context.counters, TlsSide.LISTENER)

    def connected(self, connection: PeerConnection, listener: Listener) -> None:
        """Await the A-ASSOCIATE-RQ of a new connection."""
        artim_timeout = self._settings.artim_timeout
        waiting = self._admission.waiting.enter(
            connection.peer_host, connection.abort, lambda: connection.descriptor
        )
        connection.meter = waiting
        if connection.tls is not None:
            self._context.counters.tls_connected(*connection.tls)

        def admitted() -> Callable[[], None]:
            connection.meter = None
            waiting.admitted()
            return ended

        def ended() -> None:
            if not connection.lost and connection.meter is None:
                connection.meter = self._admission.waiting.linger(
                    connection.peer_host, connection.abort, lambda: connection.descriptor
                )

        self._await_request(
            lambda opening: SocketPeer.connecting_in(
                connection, artim_timeout=artim_timeout, opening=opening
            ),
            listener,
            Lead.ROUTED,
            admitted=admitted,
        )

    def in_process(self, lead: Lead) -> InProcessPeer:
        """Return a client in this process."""
        peer = InProcessPeer()
        self._await_request(peer.attach, Listener(port=0), lead)
        return peer

    def _await_request(
        self,
        connect: Callable[[OpeningUser], AskingPeer],
        listener: Listener,
        lead: Lead,
        *,
        admitted: Callable[[], Callable[[], None]] = lambda: lambda: None,
    ) -> None:
        def requested(acceptor: Acceptor, request: AssociateRQ, pdu: bytes) -> None:
            # Of those in this process each was let in already, or is our own: the rules at the door are for peers.
            refusal = self._admission.refusal_of(acceptor, request, listener) if lead is Lead.ROUTED else None
            if refusal is not None:
                rejection = refusal.rejection or CONGESTION
                self._events.rejected(request, rejection, refusal.code)
                acceptor.reject(rejection)
                return
            ended = admitted()
            count_out = self._admission.enter(acceptor, request)

            def leave() -> None:
                count_out()
                ended()

            self._tasks.start_soon(self._open_contained, AdmittedClient(acceptor, request, pdu, lead, leave))

        Acceptor(
            connect,
            on_request=requested,
            on_error=lambda code, host: self._client_error(code, host, listener),
        )

    def _client_error(self, code: str, host: str, listener: Listener) -> None:
        if code == TlsRecord.code and listener.tls is None:
            self.tls_troubles.note(host, listener.port, TlsTrouble.TLS_PEER)
            return
        self._context.counters.protocol_error(code)
        more = self._quiet.more((code, origin_of(host)))
        if more is not None:
            log.warning("connection from %s ended before an association: %s%s", host, code, more)

    def _reject(self, acceptor: Acceptor, request: AssociateRQ, rejection: AssociateRJ, code: str) -> None:
        self._context.counters.association_rejected(rejection.result, rejection.source, rejection.reason)
        self._events.rejected(request, rejection, code)
        more = self._quiet.more((code, origin_of(acceptor.peer.host)))
        if more is not None:
            log.warning(
                "rejected %s (%s) to %s: %s (%s)%s",
                request.calling_ae,
                acceptor.peer.host,
                request.called_ae,
                code,
                rejection.describe(),
                more,
            )
        acceptor.reject(rejection)

    async def _open_contained(self, client: AdmittedClient) -> None:
        """Open an association; an error of ours ends this one, and not the process with all others."""
        try:
            await self._open_unless_gone(client)
        except Exception as error:  # noqa: BLE001 - see above
            report("the opening of an association", error)
            client.acceptor.peer.abort()

    async def _open_unless_gone(self, client: AdmittedClient) -> None:
        acceptor, request = client.acceptor, client.request
        begun = False
        with anyio.CancelScope() as scope:
            acceptor.on_gone = scope.cancel
            callback = None
            if client.lead is not Lead.DIRECT:
                callback = await self.callbacks.of(called=request.called_ae, calling=request.calling_ae)
            begun = True
            called = request.called_ae if callback is None else callback.called_ae
            calling = request.calling_ae if callback is None else callback.calling_ae
            routes = () if client.lead is Lead.DIRECT else self._context.settings.routes
            route = route_for(routes, called=called, calling=calling)
            is_routed = client.lead is Lead.ROUTED
            association = uuid.uuid4().hex
            if is_routed and self.hearing.takes(request):
                acceptor.on_gone = None
                serve: Serve = partial(self.hearing.serve, acceptor, request)
                await self._serve_here(client, request, serve, association)
            elif is_routed and self._durable is not None and self._durable.takes(request, route):
                acceptor.on_gone = None
                told = request if callback is None else request.with_ae_titles(called, calling)
                live = partial(self.in_process, Lead.LIVE)
                opened = partial(
                    self._events.opened,
                    association,
                    calling_ae=told.calling_ae,
                    called_ae=told.called_ae,
                    delivery=Delivery.DURABLE,
                )
                serve = partial(
                    self._durable.serve,
                    acceptor,
                    told,
                    route,
                    association=association,
                    opened=opened,
                    live=live,
                )
                await self._serve_here(client, told, serve, association)
            else:
                is_direct = client.lead is Lead.DIRECT  # what we ask for ourselves we don't refuse
                opening = self._live.open(
                    client,
                    route,
                    callback,
                    association=association,
                    audit=self._audit(client, association),
                    objection=None if is_direct else self._objection(called, calling),
                )
                await TimedWork(opening, self.router.shares.newcomers_took)
        if not begun:
            client.leave()

    @property
    def waiting(self) -> WaitingRoom:
        """Connections that were not let in yet."""
        return self._admission.waiting

    def stop_admitting(self) -> None:
        """Reject whoever comes from now on."""
        self._admission.stop()

    async def drain(self, *, within: float) -> None:
        """Wait so many seconds at most for the associations to end; in the last quarter, abort each that is at rest."""
        await self._admission.occupancy.drain(self._press, within=within)

    def _press(self) -> None:
        """Abort each association as soon as no operation is under way."""
        self.router.patrol.drain()
        self.hearing.drain()
        if self._durable is not None:
            self._durable.drain()

    async def _serve_here(
        self, client: AdmittedClient, request: AssociateRQ, serve: Serve, association: str
    ) -> None:
        """Accept an association here, and serve it to its end."""
        telemetry = self._context.telemetry
        span = association_span(
            telemetry, association, calling_ae=request.calling_ae, called_ae=request.called_ae
        )
        enter_trace(telemetry.traceparent(span))
        code = "cancelled"
        audit = self._audit(client, association)
        try:
            code = await serve(
                audit=audit,
                objection=self._objection(request.called_ae, request.calling_ae),
                traceparent=telemetry.traceparent(span),
            )
        finally:
            client.leave()
            audit.failed(code)
            telemetry.end(span, error_code=None if code == "released" else code)

    def _audit(self, client: AdmittedClient, association: str) -> AssociationAudit:
        """Return what reports a client's association; of those that we ask for ourselves nothing is reported."""
        request, peer = client.request, client.acceptor.peer
        identity, certificate = request.user_item(UserIdentityRQ), peer.certificate
        named = None if identity is None else (identity.identity_type, identity.primary_field)
        return AssociationAudit(
            self._context.audit if client.lead is Lead.ROUTED else None,
            association=association,
            client=peer_of(request.calling_ae, peer.host, requestor=True, name=username(named)),
            called_ae=request.called_ae,
            details={} if certificate is None else {"certificate": certificate.subject},
        )

    def _objection(self, called: str, calling: str) -> Objection:
        """Return what the policy says of operations that no handler is asked about."""

        def objection(command_field: int) -> PolicyRefusal | None:
            return self._policy.operation(
                OperationQuestion(
                    command_field=command_field,
                    service=dimse_service(command_field),
                    called_ae=called,
                    calling_ae=calling,
                    from_client=True,
                )
            )

        return objection
