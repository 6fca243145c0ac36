"""What the audit trail is told of one association, by the endpoint whose peer it is."""

from __future__ import annotations

from dimse_mesh.audit import AuditedObject, AuditParticipant, AuditRecorder
from dimse_mesh.audit.codes import AuditedKind, AuditRole
from dimse_mesh.audit.events import (
    QUERIES,
    association_ended,
    association_opened,
    instances_transferred,
    queried,
)
from dimse_mesh.endpoint.summary import OperationSummary


class AssociationAudit:
    """Reports the begin and the end of an association, and what was done in it.

    Args:
        recorder: None: there is no audit trail, and nothing is reported.
        association: its id; the same at both endpoints.
        client: who asked for it.
        target: the system that is called, if it is our peer; None: it is somewhere in the mesh.
        called_ae: the AE title that is called.
        details: what else is said when the association stands, or can't be had.
    """

    __slots__ = ("_association", "_called_ae", "_client", "_details", "_recorder", "_stands", "_target")

    def __init__(
        self,
        recorder: AuditRecorder | None,
        *,
        association: str,
        client: AuditParticipant,
        called_ae: str,
        target: AuditParticipant | None = None,
        details: dict[str, str] | None = None,
    ) -> None:
        self._recorder = recorder
        self._association = association
        self._client = client
        self._called_ae = called_ae
        self._target = target
        self._details = details or {}
        self._stands = False

    def opened(self) -> None:
        """Report that the association stands."""
        self._stands = True
        if self._recorder is not None:
            self._recorder.note(
                association_opened(
                    self._recorder.source, self._client, self._target, self._object(self._details)
                )
            )

    def failed(self, code: str) -> None:
        """Report that the association could not be had; nothing, if it was."""
        if self._recorder is not None and not self._stands:
            self._recorder.note(
                association_opened(
                    self._recorder.source, self._client, self._target, self._object(self._details), code
                )
            )

    def ended(
        self, code: str, summary: OperationSummary, *, received: int | None = None, sent: int | None = None
    ) -> None:
        """Report that the association has ended.

        Args:
            code: why; `released` is the good end.
            summary: of the operations that its client asked for.
            received: bytes from our peer; None: they were not counted.
            sent: bytes to it; None: the same.
        """
        recorder = self._recorder
        if recorder is None:
            return
        source, client, target = recorder.source, self._client, self._target
        counts = {f"{service} {outcome}": str(n) for (service, outcome), n in summary.operations.items()}
        if summary.instances:
            stored = self._object({}, summary.instances)
            recorder.note(instances_transferred(source, client, target, stored))
        queries = {service: str(count) for service in sorted(QUERIES) if (count := summary.of(service))}
        if queries:
            recorder.note(queried(source, client, target, self._object(queries)))
        if received is not None:
            counts["bytes received"] = str(received)
        if sent is not None:
            counts["bytes sent"] = str(sent)
        recorder.note(association_ended(source, client, target, self._object(counts), code))

    def _object(self, details: dict[str, str], instances: dict[str, int] | None = None) -> AuditedObject:
        return AuditedObject(
            kind=AuditedKind.ASSOCIATION,
            object_id=self._association,
            name=f"to {self._called_ae}",
            details=details,
            instances=instances or {},
        )


def peer_of(ae_title: str, host: str, *, requestor: bool, name: str = "") -> AuditParticipant:
    """Return a DICOM system as a participant."""
    return AuditParticipant(
        user_id=ae_title,
        ae_titles=(ae_title,),
        requestor=requestor,
        role=AuditRole.SOURCE if requestor else AuditRole.DESTINATION,
        name=name,
        host=host,
    )
