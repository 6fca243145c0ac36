"""How an attempt to deliver an object ended, and what follows from it. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from dimse_mesh.client import AssociationError, AssociationFailure
from dimse_mesh.dimse import CommandSet, Status, StatusCategory, category
from dimse_mesh.upper_layer import RejectResult


class DeliveryCause(StrEnum):
    """What happened, as metrics, `queue why` and dead letters name it."""

    DELIVERED = "delivered"
    WARNING = "delivered-with-warning"
    DUPLICATE = "already-there"
    """The destination has the instance: it says so (0111H), or a receipt does."""
    REJECTED = "rejected"
    """A-ASSOCIATE-RJ; result, source and reason stand in the detail."""
    ABORTED = "aborted"
    UNREACHABLE = "connection-refused"
    TLS_FAILED = "tls-failed"
    TIMED_OUT = "timeout"
    CONNECTION_LOST = "connection-lost"
    NO_RESPONSE = "no-response"
    """The destination closed the connection when all but its response had been said."""
    PROTOCOL_ERROR = "protocol-error"
    NO_CONTEXT = "no-presentation-context"
    NO_SOP_CLASS = "sop-class-not-supported"
    """Status 0122H, or no context for the class in any syntax."""
    OUT_OF_RESOURCES = "out-of-resources"
    """A7xxH, 0213H."""
    FAILURE = "failure-status"
    """Any other status of failure."""
    HOOK_FAILED = "hook-failed"
    ORIGIN_UNKNOWN = "origin-unknown"
    """Nobody has said yet where the object's study came from."""
    ENCRYPTION = "encryption"
    """It can't be opened with the keys of this zone, or has to be encrypted and isn't."""
    INTERNAL_ERROR = "internal-error"
    """A fault of ours, which the log describes."""
    DAMAGED = "damaged"
    """What the spool holds is not what was acknowledged."""


class Scope(StrEnum):
    """Who waits because of an outcome."""

    NOBODY = "nobody"
    """The object is delivered."""
    DESTINATION = "destination"
    """Everything for this destination."""
    CALLING_AE = "calling-ae"
    """What comes from the object's calling AE title: that is what the destination rejects."""
    STUDY = "study"
    """The object, and what comes behind it in its study."""
    DEAD_LETTER = "dead-letter"
    """Nobody: the object is put aside until an operator decides."""
    AGAIN = "again"
    """Nobody: the object is sent again at once, on a new association, and this was no attempt at it."""


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """How one attempt ended.

    Attributes:
        detail: in words; may hold the destination's own.
        redirected_to: the destination whose queue has the object now.
        tried: whether the destination was sent the object, or a part of it.
        answer: the command set of its response, as it sent it; empty: it has sent none.
    """

    cause: DeliveryCause
    detail: str = ""
    status: int | None = None
    tried: bool = False
    scope: Scope = Scope.NOBODY
    redirected_to: str = ""
    answer: bytes = b""

    @property
    def public(self) -> str:
        """The outcome for logs, without the destination's own words."""
        return self.cause.value if self.status is None else f"{self.cause.value} (status {self.status:04X}H)"

    @property
    def sentence(self) -> str:
        """What an operator is told that the queue waits for."""
        what = self.public if self.cause is not DeliveryCause.REJECTED else self.detail
        return f"{what}: {self.detail}" if self.detail and what != self.detail else what


IN_PLACE = 3
"""Attempts at one object before those behind it (of other studies) go first."""

_CAUSES = {
    AssociationFailure.REJECTED: DeliveryCause.REJECTED,
    AssociationFailure.ABORTED: DeliveryCause.ABORTED,
    AssociationFailure.UNREACHABLE: DeliveryCause.UNREACHABLE,
    AssociationFailure.TLS_FAILED: DeliveryCause.TLS_FAILED,
    AssociationFailure.TIMED_OUT: DeliveryCause.TIMED_OUT,
    AssociationFailure.LOST: DeliveryCause.CONNECTION_LOST,
    AssociationFailure.NO_RESPONSE: DeliveryCause.NO_RESPONSE,
    AssociationFailure.NO_CONTEXT: DeliveryCause.NO_CONTEXT,
    AssociationFailure.PROTOCOL_ERROR: DeliveryCause.PROTOCOL_ERROR,
}


def opening_failed(error: AssociationError) -> DeliveryOutcome:
    """Return the outcome when no association could be had."""
    rejection = error.rejection
    permanent = rejection is not None and rejection.result == RejectResult.PERMANENT
    scope = Scope.CALLING_AE if permanent else Scope.DESTINATION
    return DeliveryOutcome(_CAUSES[error.failure], str(error), scope=scope)


_ENDED = {AssociationFailure.ABORTED, AssociationFailure.LOST, AssociationFailure.NO_RESPONSE}


def sending_failed(error: AssociationError, attempts: int, *, was_idle: bool) -> DeliveryOutcome:
    """Return the outcome when the association ended while the object was sent, for the `attempts`th time.

    Args:
        was_idle: nothing had been said on the association for a while, so it may have ended before, as a connection
            does that an HTTP client keeps.
    """
    if was_idle and error.failure in _ENDED:
        return DeliveryOutcome(_CAUSES[error.failure], str(error), scope=Scope.AGAIN)
    return DeliveryOutcome(_CAUSES[error.failure], str(error), tried=True, scope=_scope_of_repeated(attempts))


def failed_by_us(error: Exception, attempts: int) -> DeliveryOutcome:
    """Return the outcome of an error that nothing foresees; its message may hold what is nobody's business."""
    detail = f"a fault of ours: {type(error).__name__}"
    return DeliveryOutcome(
        DeliveryCause.INTERNAL_ERROR, detail, tried=True, scope=_scope_of_repeated(attempts)
    )


def answered(response: CommandSet, attempts: int) -> DeliveryOutcome:
    """Return the outcome of a response; what can't become better by waiting is a dead letter."""
    return replace(_judged(response, attempts), answer=response.encode())


def _judged(response: CommandSet, attempts: int) -> DeliveryOutcome:
    status = response.status
    if status is None:
        return DeliveryOutcome(
            DeliveryCause.PROTOCOL_ERROR,
            "the response has no status",
            tried=True,
            scope=_scope_of_repeated(attempts),
        )
    detail = response.error_comment or ""
    if status == Status.DUPLICATE_SOP_INSTANCE:
        return DeliveryOutcome(DeliveryCause.DUPLICATE, detail, status, True)
    match category(status):
        case StatusCategory.SUCCESS:
            return DeliveryOutcome(DeliveryCause.DELIVERED, detail, status, True)
        case StatusCategory.WARNING:
            return DeliveryOutcome(DeliveryCause.WARNING, detail, status, True)
        case _:
            return _failed(status, detail, attempts)


def _failed(status: int, detail: str, attempts: int) -> DeliveryOutcome:
    if status == Status.SOP_CLASS_NOT_SUPPORTED:
        return DeliveryOutcome(DeliveryCause.NO_SOP_CLASS, detail, status, True, Scope.DEAD_LETTER)
    if status & 0xFF00 == Status.STORAGE_OUT_OF_RESOURCES or status == Status.RESOURCE_LIMITATION:
        scope = _scope_of_repeated(attempts)
        return DeliveryOutcome(DeliveryCause.OUT_OF_RESOURCES, detail, status, True, scope)
    if status == Status.PROCESSING_FAILURE:
        scope = _scope_of_repeated(attempts)
        return DeliveryOutcome(DeliveryCause.FAILURE, detail, status, True, scope)
    return DeliveryOutcome(DeliveryCause.FAILURE, detail, status, True, Scope.DEAD_LETTER)


def _scope_of_repeated(attempts: int) -> Scope:
    """Return who waits: everybody at first, since what failed may be the destination; then the study alone."""
    return Scope.DESTINATION if attempts < IN_PLACE else Scope.STUDY
