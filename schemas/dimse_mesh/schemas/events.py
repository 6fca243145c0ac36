"""Events: what happens in a zone, for whoever wants to act on it. Nothing of a patient but UIDs and AE titles.

Each kind of event has a model of its own. `id` is the event's own: who hears an event twice knows it by that.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from dimse_mesh.schemas.service import AeTitle, WireModel

EventId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
EventUid = Annotated[str, Field(pattern=r"^[0-9.]{0,64}$")]
"""Empty: it can't be read, or is no UID, so that it could be anything."""
EventCode = Annotated[str, Field(max_length=64)]
EventDestination = Annotated[str, Field(max_length=128)]
"""An AE title, or `zone:NAME` for a zone's default target; `hooks:` before that for the hooks before it."""
Moment = Annotated[float, Field(ge=0)]
"""Seconds since 1970."""


class EventKind(StrEnum):
    """What has happened: the token of the subject."""

    ASSOCIATION_OPENED = "association_opened"
    """A front-end of the zone has accepted an association."""
    ASSOCIATION_ENDED = "association_ended"
    """It is over."""
    ASSOCIATION_REJECTED = "association_rejected"
    """A front-end of the zone has rejected one."""
    OBJECT_STORED = "object_stored"
    """An AE of the zone has answered that it has an object."""
    OBJECT_ACCEPTED = "object_accepted"
    """The zone keeps an object for its destinations, and has acknowledged it (durable routes)."""
    OBJECT_DELIVERED = "object_delivered"
    """A destination has an object that the zone has kept."""
    OBJECT_FAILED = "object_failed"
    """An object that the zone keeps has become a dead letter."""
    STUDY_QUIET = "study_quiet"
    """No object of a study has come for a while."""
    COMMITMENT_REPORTED = "commitment_reported"
    """A client knows what has become of the instances whose storage commitment it has asked for."""


class AssociationOpened(WireModel):
    """A client's association stands."""

    id: EventId
    at: Moment
    association: EventId
    calling_ae: AeTitle
    called_ae: AeTitle
    delivery: EventCode
    """`live` or `durable`."""


class AssociationEnded(WireModel):
    """A client's association that stood is over."""

    id: EventId
    at: Moment
    association: EventId
    calling_ae: AeTitle
    called_ae: AeTitle
    delivery: EventCode
    code: EventCode
    """How it ended, as in logs and metrics; `released` is the good end."""
    seconds: Annotated[float, Field(ge=0)]
    """That it stood."""


class AssociationRejected(WireModel):
    """A client got an A-ASSOCIATE-RJ."""

    id: EventId
    at: Moment
    calling_ae: AeTitle
    called_ae: AeTitle
    code: EventCode
    """Why, as in logs."""
    result: Annotated[int, Field(ge=0, le=255)]
    """With `source` and `reason`: PS3.8 table 9-21."""
    source: Annotated[int, Field(ge=0, le=255)]
    reason: Annotated[int, Field(ge=0, le=255)]


class ObjectStored(WireModel):
    """An AE of the zone has an object: it has answered a C-STORE with success or a warning."""

    id: EventId
    at: Moment
    ae: AeTitle
    """The AE, by its title in the zone's configuration."""
    calling_ae: AeTitle
    called_ae: AeTitle
    from_zone: Annotated[str, Field(max_length=128)]
    """The zone whose front-end took the object from its client."""
    association: EventId | None = None
    """On a live route."""
    sop_class: EventUid
    sop_instance: EventUid
    study: EventUid
    """Study Instance UID."""
    status: Annotated[int, Field(ge=0, le=0xFFFF)]
    delivery: EventCode
    """`live` or `durable`."""


class ObjectAccepted(WireModel):
    """A client of a durable route was told that its object is stored: it is on the zone's disks."""

    id: EventId
    at: Moment
    association: EventId
    calling_ae: AeTitle
    called_ae: AeTitle
    destinations: Annotated[tuple[EventDestination, ...], Field(max_length=64)]
    sop_class: EventUid
    sop_instance: EventUid
    study: EventUid


class ObjectSettled(WireModel):
    """What has become of an object of a durable route: `object_delivered`, `object_failed`."""

    id: EventId
    at: Moment
    destination: EventDestination
    calling_ae: AeTitle
    called_ae: AeTitle
    sop_class: EventUid
    sop_instance: EventUid
    study: EventUid
    cause: EventCode
    """How the last attempt ended, as `dimse-mesh queue` names it."""


class StudyQuiet(WireModel):
    """For a while no object of a study has come to an AE of the zone, or to be kept for another one."""

    id: EventId
    at: Moment
    after: EventCode
    """Which kind of event no longer came: `object_stored` or `object_accepted`."""
    ae: AeTitle
    """The AE that has the objects; of objects that the zone keeps, the called AE title."""
    study: EventUid
    objects: Annotated[int, Field(ge=1)]
    """Events since the study was quiet last: an object that came twice counts twice."""
    first: Moment
    last: Moment
    """When the first and the last of these objects came."""
    settled: Annotated[int, Field(ge=0)] = 0
    """Sequence number in the zone's stream of events: no study waits for an event before it."""


class CommitmentReported(WireModel):
    """A requestor of storage commitment has taken the report (N-EVENT-REPORT)."""

    id: EventId
    at: Moment
    calling_ae: AeTitle
    called_ae: AeTitle
    instances: Annotated[int, Field(ge=0)]
    failed: Annotated[int, Field(ge=0)]
    """Of these instances."""
