"""One policy, asked at admission, at opening and at each operation; every decision is an event."""

from dimse_mesh.policy.auditing import audit_refusals
from dimse_mesh.policy.configured import ConfiguredPolicy, Verdict
from dimse_mesh.policy.decision import Decision, DecisionPoint, Objection, Policy, PolicyRefusal, Subscriber
from dimse_mesh.policy.questions import (
    AdmissionQuestion,
    OpeningQuestion,
    OperationQuestion,
    PeerCertificate,
    Side,
    username,
)
from dimse_mesh.policy.subscribers import count_operations, count_rejections, refusal_log

__all__ = [
    "AdmissionQuestion",
    "ConfiguredPolicy",
    "Decision",
    "DecisionPoint",
    "Objection",
    "OpeningQuestion",
    "OperationQuestion",
    "PeerCertificate",
    "Policy",
    "PolicyRefusal",
    "Side",
    "Subscriber",
    "Verdict",
    "audit_refusals",
    "count_operations",
    "count_rejections",
    "refusal_log",
    "username",
]
