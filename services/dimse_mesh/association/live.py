"""Opens the live association of a client with its target, and joins the two."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dimse_mesh.association.acceptor import Acceptor
from dimse_mesh.association.admitted import AdmittedClient, Lead
from dimse_mesh.association.association_events import AssociationEvents, says_nothing
from dimse_mesh.association.callbacks import Callback
from dimse_mesh.association.opening import Accepted, Opener, Refused
from dimse_mesh.encryption import EncryptionError, Protection
from dimse_mesh.endpoint import PROVIDER_ABORT, AssociationHalf, AssociationIdentity, Router
from dimse_mesh.endpoint.auditing import AssociationAudit
from dimse_mesh.endpoint.own import with_own_items
from dimse_mesh.endpoint.tracing import association_span
from dimse_mesh.policy import Objection
from dimse_mesh.policy.rejections import CONGESTION, NOT_ENCRYPTED
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.encryption import association_encryption
from dimse_mesh.runtime.logging import enter_trace
from dimse_mesh.runtime.routing import Delivery, Route
from dimse_mesh.runtime.settings_encryption import RouteEncryption
from dimse_mesh.schemas.addresses import HalfAddress
from dimse_mesh.schemas.association import OpenReply, OpenRequest
from dimse_mesh.schemas.subjects import Subject
from dimse_mesh.upper_layer import Abort, AssociateAC, AssociateRJ, AssociateRQ, MalformedPdu

if TYPE_CHECKING:
    from dimse_mesh.encryption.associations import AssociationEncryption

log = logging.getLogger(__name__)

Reject = Callable[[Acceptor, AssociateRQ, AssociateRJ, str], None]
"""Rejects a client, by a code for logs and counters."""
Protect = Callable[[Accepted], Protection | None]
"""Makes an association's protection of what the executor has answered."""


@dataclass(slots=True)
class _Opening:
    """The association of one client, until it is joined to its target."""

    client: AdmittedClient
    route: Route
    callback: Callback | None
    """The AE titles to be translated, if the client is a target that calls back; None: it is none."""
    identity: AssociationIdentity
    audit: AssociationAudit
    traceparent: str | None
    joined: bool = False
    """Whether the client was accepted: from then on its half ends by itself."""
    tell_end: Callable[[str], None] = says_nothing


class LiveOpener:
    """Opens live associations.

    Args:
        reject: answers a client that the target has rejected.

    Raises (from the constructor):
        StartError: associations are to be encrypted, and a key is unusable.
    """

    def __init__(
        self, context: ServiceContext, router: Router, events: AssociationEvents, reject: Reject
    ) -> None:
        self._context = context
        self._settings = context.settings.association
        self._router = router
        self._opener = Opener(context.mesh, context.liveness, router)
        self._events = events
        self._reject = reject
        self._encryption = association_encryption(context.settings)

    async def open(
        self,
        client: AdmittedClient,
        route: Route,
        callback: Callback | None,
        *,
        association: str,
        audit: AssociationAudit,
        objection: Objection | None,
    ) -> None:
        """Open the association with the target and answer the client.

        Args:
            callback: the AE titles to be translated, if the client is a target that calls back; None: it is none.
            association: its id.
            objection: to requests that no handler is asked about; None: there is none.
        """
        telemetry, request = self._context.telemetry, client.request
        identity = AssociationIdentity(
            association=association,
            home_zone=self._context.settings.zone,
            calling_ae=request.calling_ae if callback is None else callback.calling_ae,
            called_ae=request.called_ae if callback is None else callback.called_ae,
            from_client=True,
            local=self._router.new_address(),
        )
        span = association_span(
            telemetry, association, calling_ae=identity.calling_ae, called_ae=identity.called_ae
        )
        traceparent = telemetry.traceparent(span)
        enter_trace(traceparent)
        opening = _Opening(client, route, callback, identity, audit, traceparent)

        def ended(code: str) -> None:
            client.leave()
            received, sent = half.carried
            audit.ended(code, half.summary, received=received, sent=sent)
            self._context.counters.association_closed(code)
            opening.tell_end(code)
            telemetry.end(span, error_code=None if code == "released" else code)

        half = AssociationHalf(
            instance=self._router,
            peer=client.acceptor.peer,
            identity=identity,
            on_end=ended,
            objection=objection,
            translate=None if callback is None else callback.translate,
        )
        self._router.register(half)
        code = "cancelled"
        try:
            code = await self._open(opening, half)
        except EncryptionError as error:
            code = error.code
            log.warning("%s to %s: %s", request.calling_ae, request.called_ae, error)
            if not client.acceptor.peer.over:
                self._reject(client.acceptor, request, NOT_ENCRYPTED, code)
        finally:
            if not opening.joined:
                self._router.unregister(half)
                client.leave()
                audit.failed(code)
                telemetry.end(span, error_code=code)
                client.acceptor.peer.abort()

    async def _open(self, opening: _Opening, half: AssociationHalf) -> str:
        """Ask for the target, answer the client, join them; return the code of what has kept them apart, or none.

        Raises:
            EncryptionError: the association has to be encrypted, and isn't.
        """
        acceptor, request, identity = opening.client.acceptor, opening.client.request, opening.identity
        outcome, protect = await self._ask(opening)
        if isinstance(outcome, Refused):
            self._refuse(acceptor, request, outcome)
            return outcome.code
        if acceptor.peer.over:
            self._forget_target(identity, outcome.sink)
            return "client-gone"
        try:
            protection = protect(outcome)
            accept_pdu = self._accept_pdu(request, outcome.answer)
        except EncryptionError:
            self._forget_target(identity, outcome.sink)
            raise
        except MalformedPdu:
            self._forget_target(identity, outcome.sink)
            self._reject(acceptor, request, CONGESTION, "malformed-answer")
            return "malformed-answer"
        self._join(opening, half, outcome, protection, accept_pdu=accept_pdu)
        return ""

    async def _ask(self, opening: _Opening) -> tuple[Accepted | Refused, Protect]:
        """Return what came of asking for the target, and what makes the association's protection of the answer.

        Raises:
            EncryptionError: the association has to be encrypted, and can't be.
        """
        client, route, identity = opening.client, opening.route, opening.identity
        asked = OpenRequest(
            association=identity.association,
            channel=identity.local.channel,
            called_ae=identity.called_ae,
            calling_ae=identity.calling_ae,
            delivery=route.delivery.value,
            window=self._router.settings.largest_window,
            deadline=self._settings.open_timeout,
        )
        pdu = _rewritten(client.pdu, client.request, route, opening.callback)
        protect: Protect = _unprotected
        if self._encryption is not None:
            asked, protect = self._offer(self._encryption, route, asked, pdu, identity.local)
        outcome = await self._opener.open(
            self._destination(route), asked, pdu, local=identity.local, traceparent=opening.traceparent
        )
        return outcome, protect

    def _offer(
        self,
        encryption: AssociationEncryption,
        route: Route,
        opening: OpenRequest,
        pdu: bytes,
        local: HalfAddress,
    ) -> tuple[OpenRequest, Protect]:
        """Return an opening that offers encryption, and what makes the association's protection of the answer.

        Raises:
            EncryptionError: the association has to be encrypted, and can't be.
        """
        required = route.encryption is RouteEncryption.REQUIRED
        to_zone = None if route.to is None else route.to.zone
        offered = encryption.offer(opening, pdu, local, to_zone=to_zone, required=required)

        def protect(accepted: Accepted) -> Protection | None:
            return encryption.settle(
                offered, accepted.encryption, accepted.sink, accepted.pdu, required=required
            )

        return opening.model_copy(update={"encryption": offered.offers}), protect

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
        self._router.tell_abort(identity.local, target, PROVIDER_ABORT)

    def _accept_pdu(self, request: AssociateRQ, answer: AssociateAC) -> bytes:
        """Return what the target answered, as the client gets it.

        Raises:
            MalformedPdu: the target says so much about itself that our own items don't fit.
        """
        own = with_own_items(answer, maximum_length=self._settings.max_pdu_length)
        # PS3.8 §9.3.3: these fields are sent back as they came in the request.
        return own.with_ae_title_bytes(request.called_ae_bytes, request.calling_ae_bytes).encode()

    def _join(
        self,
        opening: _Opening,
        half: AssociationHalf,
        accepted: Accepted,
        protection: Protection | None,
        *,
        accept_pdu: bytes,
    ) -> None:
        """Answer the client, and join it to the target."""
        client, identity = opening.client, opening.identity
        opening.joined = True
        opening.audit.opened()
        client.acceptor.peer.accept(accept_pdu)
        if client.lead is Lead.ROUTED:
            opening.tell_end = self._events.opened(
                identity.association,
                calling_ae=identity.calling_ae,
                called_ae=identity.called_ae,
                delivery=Delivery.LIVE,
            )
        self._context.counters.association_opened()
        half.establish(
            remote=accepted.sink,
            window=accepted.window,
            max_pdu=client.request.maximum_length or 0,
            accepted_contexts=accepted.answer.accepted_context_ids,
            max_length=self._settings.max_pdu_length,
            operations=accepted.answer.operations_window[0],
            protection=protection,
        )
        half.attach()


def _unprotected(_: Accepted) -> Protection | None:
    return None


def _rewritten(pdu: bytes, request: AssociateRQ, route: Route, callback: Callback | None) -> bytes:
    """Return the A-ASSOCIATE-RQ to send on: as it came, unless AE titles are rewritten, or translated back."""
    called, calling = route.called_ae, route.calling_ae
    if callback is not None:
        called, calling = called or callback.called_ae, calling or callback.calling_ae
    if called is None and calling is None:
        return pdu
    return request.with_ae_titles(called, calling).encode()
