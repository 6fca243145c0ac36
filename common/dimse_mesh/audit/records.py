"""Records: what the parts of the mesh report to the audit trail, before it becomes an audit message."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from dimse_mesh.audit.codes import AuditedKind, AuditEvent, AuditEventType, AuditRole


class AuditOutcome(IntEnum):
    """EventOutcomeIndicator (PS3.15 A.5.1)."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    SERIOUS_FAILURE = 8
    MAJOR_FAILURE = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditParticipant:
    """A person, process or DICOM system that took part (ActiveParticipant).

    Attributes:
        user_id: who it is: a process id, or the AE title of a peer.
        ae_titles: its AE titles.
        name: a user's name, where one was given.
        requestor: whether it began the event.
        host: its network address; empty: unknown.
    """

    user_id: str
    requestor: bool
    role: AuditRole | None = None
    ae_titles: tuple[str, ...] = ()
    name: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedObject:
    """What was acted on (ParticipantObjectIdentification).

    Attributes:
        object_id: of that kind.
        name: for people; not used beside `query`.
        query: the identifier of a C-FIND, C-GET or C-MOVE, as it was encoded. It may hold patient data.
        details: name and value; values may come from peers.
        instances: number of instances by SOP class.
    """

    kind: AuditedKind
    object_id: str
    name: str = ""
    query: bytes | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    instances: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One event.

    Attributes:
        action: EventActionCode: C(reate), R(ead), U(pdate), D(elete), E(xecute).
        description: EventOutcomeDescription: why, where it isn't plain.
        repeats: of records that share this key only some a minute are written one by one; then they are counted.
            None: each is written.
        at: seconds since the epoch.
    """

    event: AuditEvent
    types: tuple[AuditEventType, ...] = ()
    action: str = "E"
    outcome: AuditOutcome = AuditOutcome.SUCCESS
    description: str = ""
    participants: tuple[AuditParticipant, ...]
    objects: tuple[AuditedObject, ...] = ()
    repeats: Hashable = None
    at: float = field(default_factory=time.time)
