"""The subscriber to policy decisions that reports refusals to the audit trail.

What was permitted is reported by whoever carries it out: a front-end and an executor report their associations.
"""

from __future__ import annotations

from dimse_mesh.audit import AuditParticipant, AuditRecorder
from dimse_mesh.audit.codes import AuditRole
from dimse_mesh.audit.events import operation_refused, peer_refused
from dimse_mesh.policy.decision import Decision, PolicyRefusal, Subscriber
from dimse_mesh.policy.questions import AdmissionQuestion, OpeningQuestion, OperationQuestion, username
from dimse_mesh.runtime.origin import origin_of


def audit_refusals(recorder: AuditRecorder | None) -> tuple[Subscriber, ...]:
    """Return the subscriber, if there is an audit trail."""
    if recorder is None:
        return ()
    source = recorder.source

    def audit(decision: Decision) -> None:
        refusal = decision.refusal
        if refusal is None:
            return
        match decision.question:
            case AdmissionQuestion() as asked:
                recorder.note(
                    peer_refused(
                        source,
                        _caller(asked),
                        asked.called_ae,
                        _why(refusal),
                        _details(asked),
                        repeats=("admission", origin_of(asked.peer_host), refusal.code),
                    )
                )
            case OpeningQuestion() as asked:
                caller = AuditParticipant(
                    user_id=asked.calling_ae,
                    ae_titles=(asked.calling_ae,),
                    requestor=True,
                    role=AuditRole.SOURCE,
                )
                recorder.note(
                    peer_refused(
                        source,
                        caller,
                        asked.target or asked.called_ae,
                        _why(refusal),
                        {"from zone": asked.from_zone, "asked by": asked.side.value},
                        repeats=("opening", asked.from_zone, asked.calling_ae, refusal.code),
                    )
                )
            case OperationQuestion() as asked:
                recorder.note(
                    operation_refused(
                        source,
                        asked.service,
                        asked.calling_ae,
                        asked.called_ae,
                        _why(refusal),
                        repeats=("operation", asked.calling_ae, asked.service, refusal.code),
                    )
                )

    return (audit,)


def _why(refusal: PolicyRefusal) -> str:
    return f"{refusal.code} by {refusal.rule}" if refusal.rule else refusal.code


def _caller(asked: AdmissionQuestion) -> AuditParticipant:
    return AuditParticipant(
        user_id=asked.calling_ae,
        ae_titles=(asked.calling_ae,),
        requestor=True,
        role=AuditRole.SOURCE,
        name=username(asked.user_identity),
        host=asked.peer_host,
    )


def _details(asked: AdmissionQuestion) -> dict[str, str]:
    details = {"port": str(asked.port)}
    if asked.certificate is not None:
        details["certificate"] = asked.certificate.subject
    return details
