"""The front-end: each client's connection from admission to its link."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from dimse_mesh.association.acceptor import Acceptor
from dimse_mesh.association.admission import Admission
from dimse_mesh.association.association_events import AssociationEvents, says_nothing
from dimse_mesh.association.callbacks import Callback, Callbacks
from dimse_mesh.association.commitment_hearing import ReportHearing
from dimse_mesh.association.durable import DurableFrontEnd
from dimse_mesh.association.opening import Accepted, Opener, Refused
from dimse_mesh.association.waiting import WaitingRoom
from dimse_mesh.endpoint import (
    PROVIDER_ABORT,
    AssociationHalf,
    AssociationIdentity,
    PeerConnection,
    Router,
    SocketPeer,
    dimse_service,
)
from dimse_mesh.endpoint.auditing import AssociationAudit, peer_of
from dimse_mesh.endpoint.in_process_peer import InProcessPeer
from dimse_mesh.endpoint.own import with_own_items
from dimse_mesh.endpoint.peer import AskingPeer, OpeningUser
from dimse_mesh.endpoint.tls_trouble import TlsSide, TlsTrouble, TlsTroubles
from dimse_mesh.mesh.errors import report
from dimse_mesh.policy import (
    OperationQuestion,
    Policy,
    PolicyRefusal,
)
from dimse_mesh.policy.auditing import username
from dimse_mesh.policy.rejections import CONGESTION
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.logging import enter_trace
from dimse_mesh.runtime.routing import Delivery, Route, route_for
from dimse_mesh.runtime.settings_association import Listener
from dimse_mesh.schemas.addresses import HalfAddress
from dimse_mesh.schemas.association import OpenReply, OpenRequest
from dimse_mesh.schemas.subjects import Subject
from dimse_mesh.upper_layer import (
    Abort,
    AssociateAC,
    AssociateRJ,
    AssociateRQ,
    MalformedPdu,
    TlsRecord,
    UserIdentityRQ,
)

log = logging.getLogger(__name__)


class Lead(Enum):
    """Where the association of a client goes."""

    ROUTED = auto()
    """Where its route says."""
    LIVE = auto()
    """The same, but to the destination itself where the route is durable."""
    DIRECT = auto()
    """To its called AE title, whatever the routes and the policy at the door say: it is a call of our own."""


@dataclass(frozen=True, slots=True)
class _Admitted:
    """A client whose A-ASSOCIATE-RQ was let in.

    Attributes:
        pdu: the request as it came.
        leave: counts it out.
    """

    acceptor: Acceptor
    request: AssociateRQ
    pdu: bytes
    lead: Lead
    leave: Callable[[], None]


class Serve(Protocol):
    """Serves an association that is accepted here to its end."""

    async def __call__(
        self,
        *,
        audit: AssociationAudit,
        objection: Callable[[int], PolicyRefusal | None],
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
        self._opener = Opener(context.mesh, context.liveness, router)
        self._durable = durable
        self.hearing = ReportHearing(context)
        self.callbacks = Callbacks(context.settings.scu.remote_aes)
        self._admission = Admission(context.settings, policy, context.counters)
        self._events = AssociationEvents(context)
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

        def admitted() -> None:
            connection.meter = None
            waiting.admitted()

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
        admitted: Callable[[], None] = lambda: None,
    ) -> None:
        def requested(acceptor: Acceptor, request: AssociateRQ, pdu: bytes) -> None:
            refusal = None if lead is Lead.DIRECT else self._admission.refusal_of(acceptor, request, listener)
            if refusal is not None:
                rejection = refusal.rejection or CONGESTION
                self._events.rejected(request, rejection, refusal.code)
                acceptor.reject(rejection)
                return
            admitted()
            leave = self._admission.enter(acceptor, request)
            self._tasks.start_soon(self._open_contained, _Admitted(acceptor, request, pdu, lead, leave))

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
        log.warning("connection from %s ended before an association: %s", host, code)

    def _reject(self, acceptor: Acceptor, request: AssociateRQ, rejection: AssociateRJ, code: str) -> None:
        self._context.counters.association_rejected(rejection.result, rejection.source, rejection.reason)
        self._events.rejected(request, rejection, code)
        log.warning(
            "rejected %s (%s) to %s: %s (%s)",
            request.calling_ae,
            acceptor.peer.host,
            request.called_ae,
            code,
            rejection.describe(),
        )
        acceptor.reject(rejection)

    async def _open_contained(self, client: _Admitted) -> None:
        """Open an association; an error of ours ends this one, and not the process with all others."""
        try:
            await self._open_unless_gone(client)
        except Exception as error:  # noqa: BLE001 - see above
            report("the opening of an association", error)
            client.acceptor.peer.abort()

    async def _open_unless_gone(self, client: _Admitted) -> None:
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
                await self._open(client, route, callback)
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
        """Wait so many seconds at most for the associations to end; the last quarter not without pressing."""
        await self._admission.occupancy.drain(self._press, within=within)

    def _press(self) -> None:
        """Abort each association as soon as no operation is under way."""
        self.router.patrol.drain()
        self.hearing.drain()
        if self._durable is not None:
            self._durable.drain()

    async def _serve_here(
        self, client: _Admitted, request: AssociateRQ, serve: Serve, association: str
    ) -> None:
        """Accept an association here, and serve it to its end."""
        telemetry = self._context.telemetry
        span = telemetry.start_span(
            "association",
            kind="server",
            root=True,
            attributes={
                "dicom.association": association,
                "dicom.ae.calling": request.calling_ae,
                "dicom.ae.called": request.called_ae,
            },
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

    async def _open(self, client: _Admitted, route: Route, callback: Callback | None) -> None:
        """Open the association with the target and answer the client."""
        acceptor, request = client.acceptor, client.request
        linked = False
        telemetry = self._context.telemetry
        identity = AssociationIdentity(
            association=uuid.uuid4().hex,
            home_zone=self._context.settings.zone,
            calling_ae=request.calling_ae if callback is None else callback.calling_ae,
            called_ae=request.called_ae if callback is None else callback.called_ae,
            from_client=True,
            local=self.router.new_address(),
        )
        span = telemetry.start_span(
            "association",
            kind="server",
            root=True,
            attributes={
                "dicom.association": identity.association,
                "dicom.ae.calling": identity.calling_ae,
                "dicom.ae.called": identity.called_ae,
            },
        )
        enter_trace(telemetry.traceparent(span))
        audit = self._audit(client, identity.association)

        tell_end: Callable[[str], None] = says_nothing

        def ended(code: str) -> None:
            client.leave()
            received, sent = half.carried
            audit.ended(code, half.summary, received=received, sent=sent)
            self._context.counters.association_closed(code)
            tell_end(code)
            telemetry.end(span, error_code=None if code == "released" else code)

        half = AssociationHalf(
            instance=self.router,
            peer=acceptor.peer,
            identity=identity,
            on_end=ended,
            objection=_nothing
            if client.lead is Lead.DIRECT
            else self._objection(identity.called_ae, identity.calling_ae),
            translate=None if callback is None else callback.translate,
        )
        self.router.register(half)
        code = "cancelled"
        try:
            outcome = await self._opener.open(
                self._destination(route),
                OpenRequest(
                    association=identity.association,
                    channel=identity.local.channel,
                    called_ae=identity.called_ae,
                    calling_ae=identity.calling_ae,
                    delivery=route.delivery.value,
                    window=self.router.settings.largest_window,
                    deadline=self._settings.open_timeout,
                ),
                _rewritten(client.pdu, request, route, callback),
                local=identity.local,
                traceparent=telemetry.traceparent(span),
            )
            if isinstance(outcome, Refused):
                code = outcome.code
                self._refuse(acceptor, request, outcome)
            elif acceptor.peer.over:
                code = "client-gone"
                self._forget_target(identity, outcome.sink)
            else:
                try:
                    accept_pdu = self._accept_pdu(request, outcome.answer)
                except MalformedPdu:
                    code = "malformed-answer"
                    self._forget_target(identity, outcome.sink)
                    self._reject(acceptor, request, CONGESTION, code)
                    return
                linked = True
                audit.opened()
                acceptor.peer.accept(accept_pdu)
                if client.lead is Lead.ROUTED:
                    tell_end = self._events.opened(
                        identity.association,
                        calling_ae=identity.calling_ae,
                        called_ae=identity.called_ae,
                        delivery=Delivery.LIVE,
                    )
                self._join(request, half, outcome)
        finally:
            if not linked:
                self.router.unregister(half)
                client.leave()
                audit.failed(code)
                telemetry.end(span, error_code=code)
                acceptor.peer.abort()

    def _audit(self, client: _Admitted, association: str) -> AssociationAudit:
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

    def _objection(self, called: str, calling: str) -> Callable[[int], PolicyRefusal | None]:
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

    def _destination(self, route: Route) -> Subject[OpenRequest, OpenReply]:
        subjects = self._context.mesh.subjects
        assert route.to is not None
        if route.to.zone is not None:
            return subjects.zone_open(route.to.zone)
        return subjects.ae_open(route.to.ae or "")

    def _refuse(self, acceptor: Acceptor, request: AssociateRQ, outcome: Refused) -> None:
        if acceptor.peer.over:
            return
        if isinstance(outcome.answer, Abort):
            log.warning("%s to %s: %s", request.calling_ae, request.called_ae, outcome.code)
            acceptor.peer.abort(outcome.answer)
        elif outcome.answer is None:
            log.warning("%s to %s: %s", request.calling_ae, request.called_ae, outcome.code)
            acceptor.peer.close()
        else:
            self._reject(acceptor, request, outcome.answer, outcome.code)

    def _forget_target(self, identity: AssociationIdentity, target: HalfAddress) -> None:
        """Tell the executor that the client has gone meanwhile."""
        self.router.tell_abort(identity.local, target, PROVIDER_ABORT)

    def _accept_pdu(self, request: AssociateRQ, answer: AssociateAC) -> bytes:
        """Return what the target answered, as the client gets it.

        Raises:
            MalformedPdu: the target says so much about itself that our own items don't fit.
        """
        own = with_own_items(answer, maximum_length=self._settings.max_pdu_length)
        # PS3.8 §9.3.3: these fields are sent back as they came in the request.
        return own.with_ae_title_bytes(request.called_ae_bytes, request.calling_ae_bytes).encode()

    def _join(self, request: AssociateRQ, half: AssociationHalf, accepted: Accepted) -> None:
        """Join the client, who was answered, to the target."""
        self._context.counters.association_opened()
        half.establish(
            remote=accepted.sink,
            window=accepted.window,
            max_pdu=request.maximum_length or 0,
            accepted_contexts=accepted.answer.accepted_context_ids,
            max_length=self._settings.max_pdu_length,
            operations=accepted.answer.operations_window[0],
        )
        half.attach()


def _nothing(_: int) -> PolicyRefusal | None:
    """Object to nothing: what we ask for ourselves we don't refuse."""
    return None


def _rewritten(pdu: bytes, request: AssociateRQ, route: Route, callback: Callback | None) -> bytes:
    """Return the A-ASSOCIATE-RQ to send on: as it came, unless AE titles are rewritten, or translated back."""
    called, calling = route.called_ae, route.calling_ae
    if callback is not None:
        called, calling = called or callback.called_ae, calling or callback.calling_ae
    if called is None and calling is None:
        return pdu
    return request.with_ae_titles(called, calling).encode()
