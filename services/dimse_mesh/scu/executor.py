"""Open associations to targets on behalf of front-ends."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from dimse_mesh.dimse import CommandHead
from dimse_mesh.encryption import EncryptionError, Protection
from dimse_mesh.endpoint import AssociationHalf, AssociationIdentity, Occupancy, Router
from dimse_mesh.endpoint.auditing import AssociationAudit, peer_of
from dimse_mesh.endpoint.own import ASSOCIATE_LIMIT, with_own_items
from dimse_mesh.endpoint.peer import DicomPeer
from dimse_mesh.endpoint.tls import TlsContext, remote_context
from dimse_mesh.endpoint.tls_trouble import TlsSide, TlsTroubles
from dimse_mesh.events import event_publisher
from dimse_mesh.mesh import Message
from dimse_mesh.mesh.complaints import Complaints
from dimse_mesh.policy import OpeningQuestion, Policy, PolicyRefusal, Side
from dimse_mesh.policy.rejections import CALLING_NOT_RECOGNIZED, NOT_ENCRYPTED
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.encryption import association_encryption
from dimse_mesh.runtime.logging import enter_trace
from dimse_mesh.runtime.settings_scu import MOST_ASSOCIATIONS, RemoteAe
from dimse_mesh.runtime.tracing import traceparent_in
from dimse_mesh.schemas.addresses import HalfAddress, InstanceAddress
from dimse_mesh.schemas.association import CLOSED_BY_TARGET, OpenReply, OpenRequest, OpenResult
from dimse_mesh.scu.arrivals import arrival_watch
from dimse_mesh.scu.attachment import Attachment
from dimse_mesh.scu.callbacks import CallbackTeller
from dimse_mesh.scu.origins import LiveOrigins
from dimse_mesh.scu.requestor import Answer, OpeningFailed, connect, request_association
from dimse_mesh.scu.slots import Slots
from dimse_mesh.scu.storage import StoragePlaces
from dimse_mesh.upper_layer import AssociateAC, AssociateRQ, UpperLayerError

if TYPE_CHECKING:
    from dimse_mesh.encryption.associations import Taken

log = logging.getLogger(__name__)

IDLE_WITH_SLOTS = 600.0
"""Seconds that an association with a target of few slots may be idle, unless the settings say otherwise."""


@dataclass(frozen=True, slots=True)
class _AskedOpening:
    """What a front-end asks for."""

    front_end: HalfAddress
    """Its half of the association."""
    associate: AssociateRQ
    taken: Taken | None
    """Of an encrypted association."""


class Executor:
    """Holds the halves of associations that face targets.

    Args:
        policy: of this zone.
        places: the AEs that are places.
        origins: hears of which zone a study comes from; None: no route goes by that.

    Raises (from the constructor):
        StartError: a TLS file of a target is unusable, or a key of the encryption.
    """

    def __init__(
        self,
        context: ServiceContext,
        router: Router,
        slots: Slots,
        policy: Policy,
        places: StoragePlaces,
        *,
        origins: LiveOrigins | None,
    ) -> None:
        self._context = context
        self._origins = origins
        self._places = places
        self._settings = context.settings.scu
        self._router = router
        self._slots = slots
        self._policy = policy
        self._encryption = association_encryption(context.settings)
        self._complaints = Complaints(log)
        self._tls: dict[str, TlsContext] = {
            remote.ae_title: remote_context(remote.tls)
            for remote in self._settings.remote_aes
            if remote.tls is not None
        }
        for remote in self._settings.remote_aes:
            if remote.tls is not None and not remote.tls.verify:
                log.warning(
                    "target %s: whose certificate it shows is not checked (tls.verify)", remote.ae_title
                )
        # From the start, so that the first failure shows as an increase.
        context.counters.expect_openings(
            (remote.ae_title for remote in self._settings.remote_aes), OpenResult
        )
        self._tls_troubles = TlsTroubles(context.counters, TlsSide.TARGET)
        self._callbacks = CallbackTeller(context.mesh, context.liveness)
        self._events = event_publisher(context)
        self.occupancy = Occupancy()
        self.draining = False

    def _leave(self, remote: RemoteAe) -> None:
        self._slots.give_back(remote.ae_title, remote.max_associations)
        self.occupancy.leave()

    async def open(
        self, remote: RemoteAe, request: OpenRequest, pdu: memoryview, message: Message
    ) -> tuple[OpenReply, bytes]:
        """Answer an `OpenRequest` for one of our targets."""
        asked = self._understood(remote, request, pdu, message.sender)
        if not isinstance(asked, _AskedOpening):
            return asked
        if self.draining or self.occupancy.count >= self._settings.max_associations:
            return OpenReply(result=OpenResult.BUSY), b""
        telemetry = self._context.telemetry
        span = telemetry.start_span(
            "open association",
            kind="client",
            parent=traceparent_in(message.headers),
            attributes={"dicom.association": request.association, "dicom.ae.remote": remote.ae_title},
        )
        enter_trace(telemetry.traceparent(span))
        self.occupancy.enter()
        local = self._router.new_address()
        reply = OpenReply(result=OpenResult.UNREACHABLE, channel=local.channel, detail="given-up")
        tail = b""
        counted = False
        scope = anyio.CancelScope()
        try:
            with scope:
                self._router.openings.take(local.channel, asked.front_end, scope.cancel)
                self._router.courier.send_taken(asked.front_end, local)
                limit = remote.max_associations
                counted = await self._slots.take(remote.ae_title, limit, within=request.deadline)
                if counted:
                    reply, tail = await self._open(remote, request, asked, local)
                else:
                    reply = OpenReply(
                        result=OpenResult.LIMIT, channel=local.channel, detail="association-limit"
                    )
        except OpeningFailed as failure:
            self._tell(remote, failure)
            reply = OpenReply(result=failure.result, channel=local.channel, detail=failure.detail)
        finally:
            self._router.openings.done(local.channel)
            accepted = reply.result is OpenResult.ACCEPTED
            if not accepted:
                if counted:
                    self._slots.give_back(remote.ae_title, remote.max_associations)
                self.occupancy.leave()
            self._context.counters.opening_answered(remote.ae_title, reply.result.value)
            telemetry.end(span, error_code=None if accepted else reply.result.value)
        if accepted and scope.cancel_called:  # the target's answer was faster than the cancellation
            self._router.abort(local.channel, "given-up")
        return reply, tail

    def _understood(
        self, remote: RemoteAe, request: OpenRequest, pdu: memoryview, sender: InstanceAddress | None
    ) -> _AskedOpening | tuple[OpenReply, bytes]:
        """Return what a front-end asks for, or the answer when it may not, or can't be understood."""
        if sender is None or not sender.is_front_end:
            log.warning("refused an association with %s: %s is no front-end", remote.ae_title, sender)
            return OpenReply(result=OpenResult.UNREACHABLE, detail="no-front-end"), b""
        try:
            associate = AssociateRQ.decode(pdu[6:])
        except UpperLayerError as error:
            log.warning("refused an association with %s: %s sent no A-ASSOCIATE-RQ", remote.ae_title, sender)
            return OpenReply(result=OpenResult.UNREACHABLE, detail=f"request-{error.code}"), b""
        refusal = self._refusal_of(remote, associate, sender)
        if refusal is not None:
            self._context.counters.opening_answered(remote.ae_title, OpenResult.REJECTED.value)
            rejection = refusal.rejection or CALLING_NOT_RECOGNIZED
            return OpenReply(result=OpenResult.REJECTED, detail=refusal.code), rejection.encode()
        front_end = HalfAddress(sender, request.channel)
        try:
            taken = None if self._encryption is None else self._encryption.take(request, pdu, front_end)
        except EncryptionError as error:
            self._complaints.dropped(f"an opening, whose encryption is wrong ({error.code}: {error})", sender)
            self._context.counters.opening_answered(remote.ae_title, OpenResult.REJECTED.value)
            return OpenReply(result=OpenResult.REJECTED, detail=error.code), NOT_ENCRYPTED.encode()
        return _AskedOpening(front_end, associate, taken)

    def _tell(self, remote: RemoteAe, failure: OpeningFailed) -> None:
        if failure.tls is None:
            said = failure.detail
            if said == CLOSED_BY_TARGET:
                said = "it closed without an answer to the A-ASSOCIATE-RQ"
                if remote.tls is None:
                    said += "; perhaps it speaks TLS, and the remote AE has no tls"
            log.warning("target %s (%s): %s", remote.ae_title, remote.where, said)
            return
        cause = failure.__cause__
        self._tls_troubles.note(*remote.endpoint, failure.tls, cause, target=remote.ae_title)

    def _refusal_of(
        self, remote: RemoteAe, asked: AssociateRQ, front_end: InstanceAddress
    ) -> PolicyRefusal | None:
        """Ask the policy about the titles that the target would get: what else the front-end says proves nothing."""
        return self._policy.opening(
            OpeningQuestion(
                side=Side.EXECUTOR,
                from_zone=front_end.zone,
                called_ae=asked.called_ae,
                calling_ae=asked.calling_ae,
                target=remote.ae_title,
            )
        )

    async def _open(
        self,
        remote: RemoteAe,
        request: OpenRequest,
        asked: _AskedOpening,
        local: HalfAddress,
    ) -> tuple[OpenReply, bytes]:
        try:
            own = with_own_items(asked.associate, maximum_length=self._settings.max_pdu_length)
        except UpperLayerError as error:
            raise OpeningFailed(OpenResult.UNREACHABLE, f"request-{error.code}") from error
        own = own.with_ae_titles(remote.called_ae, remote.calling_ae)
        peer: DicomPeer
        if remote.storage is not None:
            peer, accepted = self._places.associate(remote, own)
            answer = Answer(OpenResult.ACCEPTED, accepted, accepted.encode())
        else:
            tls = self._tls.get(remote.ae_title)
            connection = await connect(
                remote,
                connection=lambda: self._router.new_connection(max_length=ASSOCIATE_LIMIT),
                context=None if tls is None else tls.now(),
            )
            peer, answer = await request_association(
                connection,
                own.encode(),
                timeout=remote.association_timeout,
                artim_timeout=self._settings.artim_timeout,
            )
        if not isinstance(answer.content, AssociateAC):
            peer.leave()
            return OpenReply(result=answer.result, channel=local.channel), answer.pdu
        identity = AssociationIdentity(
            association=request.association,
            home_zone=asked.front_end.instance.zone,
            calling_ae=request.calling_ae,
            called_ae=request.called_ae,
            from_client=False,
            local=local,
            remote=asked.front_end,
        )
        on_request = self._callbacks.watch(identity, own)
        audit = AssociationAudit(
            self._context.audit,
            association=identity.association,
            client=peer_of(identity.calling_ae, "", requestor=True),
            called_ae=identity.called_ae,
            target=peer_of(remote.ae_title, remote.host or "", requestor=False),
            details={"from zone": identity.home_zone},
        )
        protection, encryption = (None, "") if asked.taken is None else asked.taken.answer(local, answer.pdu)
        reply = self._join(
            remote,
            identity,
            audit,
            peer,
            answer.content,
            window=request.window,
            on_request=on_request,
            protection=protection,
        ).model_copy(update={"encryption": encryption})
        return reply, answer.pdu

    def _patience_with(self, remote: RemoteAe) -> float:
        """Return how long an association may be idle, in seconds; 0: for ever."""
        general = self._settings.idle_timeout
        if remote.idle_timeout is not None:
            return remote.idle_timeout
        if not 0 < remote.max_associations < MOST_ASSOCIATIONS:
            return general
        return min(general, IDLE_WITH_SLOTS) if general else IDLE_WITH_SLOTS

    def _join(
        self,
        remote: RemoteAe,
        identity: AssociationIdentity,
        audit: AssociationAudit,
        peer: DicomPeer,
        accepted: AssociateAC,
        *,
        window: int,
        on_request: Callable[[CommandHead, memoryview], None] | None,
        protection: Protection | None,
    ) -> OpenReply:
        """Join the target's association to the front-end's half."""
        front_end = identity.remote
        assert front_end is not None

        def ended(code: str) -> None:
            attachment.cancel()
            self._leave(remote)
            self._context.counters.association_closed(code)
            received, sent = half.carried
            audit.ended(code, half.summary, received=received, sent=sent)

        half = AssociationHalf(
            instance=self._router,
            peer=peer,
            identity=identity,
            on_end=ended,
            on_request=on_request,
            watch=arrival_watch(
                self._events,
                None if self._origins is None else self._origins.listener(identity),
                identity,
                remote.ae_title,
                accepted,
            ),
            idle_timeout=self._patience_with(remote),
        )
        self._router.register(half)
        attachment = Attachment(self._router, half, timeout=self._settings.attach_timeout)
        self._context.counters.association_opened()
        audit.opened()
        half.establish(
            remote=front_end,
            window=window,
            max_pdu=accepted.maximum_length or 0,
            accepted_contexts=accepted.accepted_context_ids,
            max_length=self._settings.max_pdu_length,
            operations=accepted.operations_window[1],
            protection=protection,
        )
        return OpenReply(
            result=OpenResult.ACCEPTED,
            channel=identity.local.channel,
            window=self._router.settings.largest_window,
        )
