"""Who is let in: what the policy says of each A-ASSOCIATE-RQ, and the counts that it needs for that."""

from __future__ import annotations

from collections.abc import Callable

from dimse_mesh.association.acceptor import Acceptor
from dimse_mesh.association.tally import Tally
from dimse_mesh.association.waiting import WaitingRoom
from dimse_mesh.policy import AdmissionQuestion, OpeningQuestion, Policy, PolicyRefusal, Side
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.runtime.origin import origin_of
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.runtime.settings_association import Listener
from dimse_mesh.upper_layer import AssociateRQ, UserIdentityRQ


class Admission:
    """Lets clients in, or says why not.

    Args:
        settings: of the zone.
        policy: is asked at the door, and about the opening.
    """

    def __init__(self, settings: ZoneSettings, policy: Policy, counters: Counters) -> None:
        limits = settings.association.limits
        self._zone = settings.zone
        self._policy = policy
        self._tally = Tally(limits)
        self._draining = False
        self.occupancy = self._tally.occupancy
        """Associations that were let in and have not ended."""
        self.waiting = WaitingRoom(limits, counters, taken=lambda: self.occupancy.count)
        """Connections that were not let in yet."""

    def stop(self) -> None:
        """Let nobody in any more: the front-end drains."""
        self._draining = True

    def enter(self, acceptor: Acceptor, request: AssociateRQ) -> Callable[[], None]:
        """Count a client who was let in; what is returned counts it out again."""
        return self._tally.enter(origin_of(acceptor.peer.host), request.calling_ae, request.called_ae)

    def refusal_of(
        self, acceptor: Acceptor, request: AssociateRQ, listener: Listener
    ) -> PolicyRefusal | None:
        """Ask the policy at the door, then about the opening."""
        identity, host = request.user_item(UserIdentityRQ), acceptor.peer.host
        origin = origin_of(host)
        refusal = self._policy.admission(
            AdmissionQuestion(
                peer_host=host,
                port=listener.port,
                certificate=acceptor.peer.certificate,
                called_ae=request.called_ae,
                calling_ae=request.calling_ae,
                protocol_version=request.protocol_version,
                user_identity=None if identity is None else (identity.identity_type, identity.primary_field),
                listener=listener.ae_titles,
                open_associations=self.occupancy.count,
                from_address=self._tally.from_address(origin),
                of_calling_ae=self._tally.of_calling_ae(request.calling_ae),
                to_called_ae=self._tally.to_called_ae(request.called_ae),
                address_too_fast=bool(host) and self._tally.address_too_fast(origin),
                calling_ae_too_fast=self._tally.calling_ae_too_fast(request.calling_ae),
                called_ae_too_fast=self._tally.called_ae_too_fast(request.called_ae),
                draining=self._draining,
            )
        )
        if refusal is not None:
            return refusal
        refusal = self._policy.opening(
            OpeningQuestion(
                side=Side.FRONT_END,
                from_zone=self._zone,
                called_ae=request.called_ae,
                calling_ae=request.calling_ae,
                target=None,
            )
        )
        if refusal is None:
            self._tally.let_in(request.calling_ae, request.called_ae)
        return refusal
