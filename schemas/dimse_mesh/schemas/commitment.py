"""What stands in a source zone's streams for storage commitment: requests that wait, and receipts of deliveries."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from dimse_mesh.schemas.service import AeTitle, WireModel
from dimse_mesh.schemas.spool import Uid

RequestId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Label = Annotated[str, Field(max_length=96)]
"""A destination as people name it: `SpoolSubjects.label`."""


class Fate(StrEnum):
    """What has become of an object that was acknowledged."""

    DELIVERED = "delivered"
    """Its destination has answered that it has it."""
    FAILED = "failed"
    """It is a dead letter."""
    DROPPED = "dropped"
    """An operator has removed it."""
    REDIRECTED = "redirected"
    """An operator has sent it to another destination."""


class Receipt(WireModel):
    """What has become of an object; kept longer than the object, for requests that come later."""

    sop_class: Uid
    sop_instance: Uid
    fate: Fate
    cause: Annotated[str, Field(max_length=64)] = ""
    """Why it failed, as the dead letter names it."""
    redirected_to: Label = ""
    stored_as: tuple[Uid, Uid] | None = None
    """SOP class and instance under which the destination has it, where hooks have given it others."""
    at: float
    """Seconds since 1970."""


class QueueProgress(WireModel):
    """How far the queue of a destination has come: what stands before is delivered, or put aside."""

    settled: Annotated[int, Field(ge=0)]
    """Sequence number in the spool: no object up to it waits any more."""


class WaitedFor(WireModel):
    """A destination that must have the instances of a request, and what its spool held when the request came."""

    destination: Label
    entrance: Label = ""
    """The spool before the hooks, where there are hooks; else that of the destination."""
    horizon: Annotated[int, Field(ge=0)]
    """The entrance's last sequence number then: what is asked for and was ever received stands before it."""
    confirms: bool = False
    """Whether the destination is asked for its own storage commitment, too."""


class CommitmentRequest(WireModel):
    """A request for storage commitment that was answered, and isn't reported yet; the tail is its data set."""

    request_id: RequestId
    transfer_syntax: Uid
    called_ae: AeTitle
    """The title that the requestor has called, and is called back as."""
    calling_ae: AeTitle
    """The requestor's title."""
    destinations: Annotated[tuple[WaitedFor, ...], Field(max_length=64)]
    instances: Annotated[int, Field(ge=0)]
    """How many it names."""
    received: float
    """Seconds since 1970."""
    owner: Annotated[str, Field(max_length=256)]
    """The address of the front-end that reports it, unless that dies."""
    attempts: Annotated[int, Field(ge=0)] = 0
    """Reports that nobody took."""
    first_attempt: float | None = None
    next_attempt: float | None = None
    trouble: Annotated[str, Field(max_length=256)] = ""
    """Why the last report was not taken."""
    secret: RequestId | None = None
    """What the ids of the questions to its destinations are made of, so that no destination can guess another's."""
    awaits: Annotated[str, Field(max_length=256)] = ""
    """What a destination has said that was asked for its own storage commitment."""


class CommitmentQuestion(WireModel):
    """A source zone asks the zone of a destination whether that is committed to instances.

    The tail is the data set of the N-ACTION (explicit VR little endian), but for its transaction.
    """

    question_id: RequestId
    asked: float
    """Seconds since 1970."""


class AnswerOutcome(StrEnum):
    """What has become of a question."""

    PENDING = "pending"
    """It isn't known yet; the detail says what it waits for."""
    REPORTED = "reported"
    """The destination has reported; the tail is its Event Information (explicit VR little endian)."""
    NOT_OFFERED = "not-offered"
    """The destination doesn't offer storage commitment."""
    NO_REPORT = "no-report"
    """It hasn't reported in time."""


class CommitmentAnswer(WireModel):
    """The newest word about a question, from the delivery service of the destination's zone."""

    question_id: RequestId
    outcome: AnswerOutcome
    detail: Annotated[str, Field(max_length=200)] = ""
    at: float
    """Seconds since 1970."""


class CommitmentHeard(WireModel):
    """A destination's report that a front-end of its zone has got; the tail is its Event Information."""

    heard_id: RequestId
    transfer_syntax: Uid


class CommitmentHeardReply(WireModel):
    """What the destination is answered."""

    heard_id: RequestId
    status: Annotated[int, Field(ge=0, le=0xFFFF)]
