"""What the audit trail is told of the associations that deliver: one with a destination after the other."""

from __future__ import annotations

import uuid

from dimse_mesh.audit import AuditRecorder
from dimse_mesh.delivery.outcomes import DeliveryCause, DeliveryOutcome
from dimse_mesh.endpoint.auditing import AssociationAudit, peer_of
from dimse_mesh.endpoint.summary import OperationSummary
from dimse_mesh.runtime.settings_scu import RemoteAe

RELEASED = "released"
_STORED = {
    DeliveryCause.DELIVERED: "success",
    DeliveryCause.WARNING: "warning",
    DeliveryCause.DUPLICATE: "warning",
}


class DeliveryAudit:
    """Reports the associations with one destination, as an executor reports those that it opens.

    A destination that can't be had is tried again and again: that is reported once for each cause in a row.

    Args:
        recorder: None: there is no audit trail, and nothing is reported.
        source: the zone that the objects come from.
    """

    def __init__(self, recorder: AuditRecorder | None, remote: RemoteAe, *, source: str) -> None:
        self._recorder = recorder
        self._remote = remote
        self._source = source
        self._association: AssociationAudit | None = None
        self._summary = OperationSummary()
        self._sent = 0
        self._failure: DeliveryCause | None = None
        """Why no association could be had the last time."""

    def opened(self, *, called: str, calling: str) -> None:
        """Report an association that stands."""
        self._failure = None
        self._summary, self._sent = OperationSummary(), 0
        self._association = self._of(called, calling)
        self._association.opened()

    def failed(self, cause: DeliveryCause, *, called: str, calling: str) -> None:
        """Report an association that could not be had."""
        if cause is not self._failure:
            self._failure = cause
            self._of(called, calling).failed(cause.value)

    def sent(self, outcome: DeliveryOutcome, *, sop_class: str, size: int) -> None:
        """Count an object that the destination has answered."""
        self._summary.add("C-STORE", _STORED.get(outcome.cause, "failure"), sop_class)
        self._sent += size

    def ended(self, code: str) -> None:
        """Report the end of the association, if there is one."""
        association, self._association = self._association, None
        if association is not None:
            association.ended(code, self._summary, sent=self._sent)

    def _of(self, called: str, calling: str) -> AssociationAudit:
        remote = self._remote
        return AssociationAudit(
            self._recorder,
            association=uuid.uuid4().hex,
            client=peer_of(calling, "", requestor=True),
            called_ae=called,
            target=peer_of(remote.ae_title, remote.host or "", requestor=False),
            details={"from zone": self._source, "delivery": "durable"},
        )
