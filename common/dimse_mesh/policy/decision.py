"""One policy, asked three times; what it decided is an event that others subscribe to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dimse_mesh.dimse import FailureReason
from dimse_mesh.policy.questions import AdmissionQuestion, OpeningQuestion, OperationQuestion, Question
from dimse_mesh.upper_layer import AssociateRJ

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PolicyRefusal:
    """Why something may not happen.

    Attributes:
        code: stable, for logs, spans, metrics and the wire.
        rejection: what the peer gets at admission or opening.
        reason: what decides the status at an operation.
    """

    code: str
    rejection: AssociateRJ | None = None
    reason: FailureReason | None = None


class Policy(Protocol):
    """Answers permit (None) or a refusal. Pure: asked twice it says the same, and it never waits."""

    def admission(self, question: AdmissionQuestion, /) -> PolicyRefusal | None:
        """Judge a peer that asks for an association; a refusal has a `rejection`."""

    def opening(self, question: OpeningQuestion, /) -> PolicyRefusal | None:
        """Judge an association that is to be opened; a refusal has a `rejection`."""

    def operation(self, question: OperationQuestion, /) -> PolicyRefusal | None:
        """Judge an operation; a refusal has a `reason`."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was asked, and what was answered."""

    question: Question
    refusal: PolicyRefusal | None


Subscriber = Callable[[Decision], None]


class DecisionPoint:
    """Asks a policy and tells every subscriber what it decided. It is itself a `Policy`.

    Args:
        subscribers: called in order; what one raises is logged, and changes neither the decision nor the others' part.
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
