"""The subscribers to policy decisions: the log and the metrics."""

from __future__ import annotations

import logging

from dimse_mesh.mesh.quiet import Quiet
from dimse_mesh.policy.decision import Decision, PolicyRefusal, Subscriber
from dimse_mesh.policy.questions import AdmissionQuestion, OpeningQuestion, OperationQuestion, Question
from dimse_mesh.runtime.counters import APPROVED, Counters
from dimse_mesh.runtime.origin import origin_of

log = logging.getLogger(__name__)


LINES_A_MINUTE = 20
"""Lines about admissions that were refused to one address for one reason."""


def refusal_log() -> Subscriber:
    """Write one line for each refusal: what happened, to whom, and why; of admissions no more than `LINES_A_MINUTE`."""
    quiet = Quiet(lines=LINES_A_MINUTE)

    def log_unless_repeated(decision: Decision) -> None:
        if decision.refusal is None:
            return
        more = 0
        if isinstance(decision.question, AdmissionQuestion):
            untold = quiet.untold((origin_of(decision.question.peer_host), decision.refusal.code))
            if untold is None:
                return
            more = untold
        _log_refusal(decision.question, decision.refusal, more)

    return log_unless_repeated


def _log_refusal(question: Question, refusal: PolicyRefusal, untold: int) -> None:
    """Write the line for a refusal; `untold`: how many admissions like it have had none."""
    code, rejection = refusal.code, refusal.rejection
    if refusal.rule:
        code = f"{code} by {refusal.rule}"
    answer = "" if rejection is None else f" ({rejection.describe()})"
    match question:
        case AdmissionQuestion():
            log.warning(
                "rejected %s (%s) to %s: %s%s%s",
                question.calling_ae,
                question.peer_host,
                question.called_ae,
                code,
                answer,
                f" ({untold} more like this in the last minute)" if untold else "",
            )
        case OpeningQuestion():
            log.warning(
                "refused to open %s for %s of zone %s: %s%s",
                question.target or question.called_ae,
                question.calling_ae,
                question.from_zone,
                code,
                answer,
            )
        case OperationQuestion():
            log.warning(
                "refused %s of %s to %s: %s", question.service, question.calling_ae, question.called_ae, code
            )


def count_operations(counters: Counters) -> Subscriber:
    """Count the decisions on operations, by DIMSE service and code."""

    def count(decision: Decision) -> None:
        if isinstance(decision.question, OperationQuestion):
            code = APPROVED if decision.refusal is None else decision.refusal.code
            counters.operation_handled(decision.question.service, code)

    return count


def count_rejections(counters: Counters) -> Subscriber:
    """Count the A-ASSOCIATE-RJs of admission."""

    def count(decision: Decision) -> None:
        if isinstance(decision.question, AdmissionQuestion) and decision.refusal is not None:
            rejection = decision.refusal.rejection
            if rejection is not None:
                counters.association_rejected(rejection.result, rejection.source, rejection.reason)

    return count
