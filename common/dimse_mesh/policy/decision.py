"""One policy, asked three times. Every decision is an event that others subscribe to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dimse_mesh.dimse import FailureReason
from dimse_mesh.policy.questions import AdmissionQuestion, OpeningQuestion, OperationQuestion, Question
from dimse_mesh.upper_layer import AssociateRJ

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PolicyRefusal:
    """Why something may not happen.

    Attributes:
        code: stable, for logs, spans, metrics and the wire.
        rejection: the A-ASSOCIATE-RJ that the peer gets at admission or opening.
        reason: of a refused operation; the service class turns it into a status.
        rule: the setting that decided, as the configuration spells it; empty: no single one did.
    """

    code: str
    rejection: AssociateRJ | None = None
    reason: FailureReason | None = None
    rule: str = ""


Objection = Callable[[int], PolicyRefusal | None]
"""Says by its command field why an operation is refused; None: it is permitted."""


class Policy(Protocol):
    """Answers None (permit) or a refusal. It is pure: the same question gets the same answer, and it never waits."""

    def admission(self, question: AdmissionQuestion, /) -> PolicyRefusal | None:
        """Decide on a peer that asks for an association; a refusal has a `rejection`."""

    def opening(self, question: OpeningQuestion, /) -> PolicyRefusal | None:
        """Decide on an association that is to be opened; a refusal has a `rejection`."""

    def operation(self, question: OperationQuestion, /) -> PolicyRefusal | None:
        """Decide on an operation; a refusal has a `reason`."""


class Decision(NamedTuple):
    """A question and its answer."""

    question: Question
    refusal: PolicyRefusal | None


Subscriber = Callable[[Decision], None]


class DecisionPoint:
    """Asks a policy and tells every subscriber what it decided. It is itself a `Policy`.

    Args:
        subscribers: called in order. An exception of one is logged; it changes neither the decision nor what the
            other subscribers get.
    """

    __slots__ = ("_policy", "_subscribers")

    def __init__(self, policy: Policy, subscribers: Sequence[Subscriber] = ()) -> None:
        self._policy = policy
        self._subscribers = tuple(subscribers)

    def admission(self, question: AdmissionQuestion, /) -> PolicyRefusal | None:
        """Decide on a peer that asks for an association."""
        return self._decided(question, self._policy.admission(question))

    def opening(self, question: OpeningQuestion, /) -> PolicyRefusal | None:
        """Decide on an association that is to be opened."""
        return self._decided(question, self._policy.opening(question))

    def operation(self, question: OperationQuestion, /) -> PolicyRefusal | None:
        """Decide on an operation."""
        return self._decided(question, self._policy.operation(question))

    def _decided(self, question: Question, refusal: PolicyRefusal | None) -> PolicyRefusal | None:
        if self._subscribers:
            decision = Decision(question, refusal)
            for subscriber in self._subscribers:
                try:
                    subscriber(decision)
                except Exception:
                    log.exception("a subscriber to policy decisions failed")
        return refusal
