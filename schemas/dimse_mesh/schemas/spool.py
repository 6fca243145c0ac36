"""What stands in a spool: the manifest of an object, a dead letter, and what is known about a destination."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dimse_mesh.schemas.association import MOST_OFFERS, HandshakeMessage, KeyId, ZoneName
from dimse_mesh.schemas.service import AeTitle, WireModel
from dimse_mesh.schemas.spool_subjects import RoutePriority

ObjectId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Uid = Annotated[str, Field(max_length=128)]
"""As the peer wrote it: it may be no UID."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Traceparent = Annotated[str, Field(max_length=64)]
StudyToken = Annotated[str, Field(pattern=r"^[0-9a-f]{1,32}$")]
RouteKey = tuple[Annotated[str, Field(max_length=256)], Annotated[str, Field(max_length=256)]]
"""A route's patterns of called and calling AE titles: of several routes that have the same, the first one counts."""
MOST_CONTEXTS = 4096
"""Presentation contexts that are remembered of a destination, at most."""
MOST_ANSWER = 4096
"""Bytes that are kept of what a destination has answered."""
LONGEST_REASON = 256
"""Characters of an operator's reason for a pause."""


class ObjectKey(WireModel):
    """The key of an object, sealed for a zone."""

    from_key: KeyId
    """Of the source zone."""
    to_key: KeyId
    """Of the zone that it is for."""
    message: HandshakeMessage


class ObjectEncryptionHead(WireModel):
    """What a manifest says of an encrypted object."""

    destinations: Annotated[tuple[Annotated[str, Field(max_length=256)], ...], Field(max_length=64)]
    """Whose spools it was written into."""
    keys: Annotated[dict[ZoneName, ObjectKey], Field(max_length=MOST_OFFERS)]
    """By zone."""


class Manifest(WireModel):
    """An object that was acknowledged to its client and waits for its destination.

    The tail of its message is the client's command set (C-STORE-RQ) and the last piece of the data set. The pieces
    before that stand in the stream in front of it, on a subject of their own.
    """

    object_id: ObjectId
    sop_class: Uid
    sop_instance: Uid
    transfer_syntax: Uid
    called_ae: AeTitle
    """The title that the destination is called by, unless its zone sets another."""
    calling_ae: AeTitle
    study: StudyToken
    """Of the study that the object is of: `spool_subjects.study_token`."""
    study_instance_uid: Uid = ""
    """Empty: it could not be read, or a former version has written this."""
    size: Annotated[int, Field(ge=0)]
    """Bytes of the data set."""
    digest: Digest
    """SHA-256 of the data set; of an encrypted one, of a prefix and what stands in the spool."""
    chunks: Annotated[int, Field(ge=0)]
    """Messages that the data set has besides the manifest's own tail."""
    command_length: Annotated[int, Field(ge=0, le=65536)]
    received: float
    """When the whole of it was here: seconds since 1970."""
    traceparent: Traceparent | None = None
    route: RouteKey | None = None
    """Before hooks: the route whose hooks it is for."""
    origin: ObjectId | None = None
    """Behind hooks: which object they made it of."""
    shared: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None
    """Name of the shared stream in which its pieces stand; None: they stand in the spool itself."""
    priority: RoutePriority = RoutePriority.MEDIUM
    """Of the route by which it came."""
    receipt: bool = False
    """Whether a receipt is wanted when it is settled, for storage commitment."""
    receipt_for: tuple[Uid, Uid] | None = None
    """Behind hooks: SOP class of the object that was acknowledged, and a UID in the place of its SOP Instance UID."""
    encryption: ObjectEncryptionHead | None = None
    """None: the data set stands there in the clear."""


class DeadLetter(WireModel):
    """An object that is not tried again until an operator says so; the tail of its message is the manifest's."""

    manifest: Manifest
    cause: Annotated[str, Field(max_length=64)]
    detail: Annotated[str, Field(max_length=1024)] = ""
    """What happened, in words; may hold the peer's own (an error comment), so not for logs."""
    status: int | None = None
    """The status that the destination answered last."""
    answer: Annotated[str, Field(max_length=2 * MOST_ANSWER, pattern=r"^[0-9a-f]*$")] = ""
    """The command set of that answer, in hexadecimal digits, as the destination sent it: not for logs, either."""
    attempts: Annotated[int, Field(ge=0)] = 0
    failed: float
    """When it was given up: seconds since 1970."""


class StudyOrigin(WireModel):
    """A zone's memory that a study came to it from another zone. The subject says which study and which zone."""

    source: Annotated[str, Field(max_length=64)]
    """The zone that it came from: that of the front-end which its sender called."""
    calling_ae: AeTitle
    """Its sender."""
    seen: float
    """When an object of it came last, within an hour: seconds since 1970."""


class SpoolMade(WireModel):
    """The keeper's word that a spool stands, and keeps what it acknowledges."""

    nats_server: Annotated[str, Field(max_length=64)]
    """Version of the nats-server that made it, or changed it last."""
    when: float
    """Seconds since 1970."""


class KnownContext(WireModel):
    """Whether a destination takes one SOP class in one transfer syntax."""

    sop_class: Uid
    transfer_syntax: Uid
    accepted: bool
    result: Annotated[int, Field(ge=0, le=255)] = 0
    """The result of the presentation context (PS3.8 table 9-18), when it was rejected."""


class KnownContexts(WireModel):
    """What a destination has said of presentation contexts, newest last."""

    contexts: Annotated[tuple[KnownContext, ...], Field(max_length=MOST_CONTEXTS)] = ()
    asked: float = 0.0
    """When it said so last: seconds since 1970."""


class QueueStatus(WireModel):
    """What the delivery service says of a destination's queue."""

    sentence: Annotated[str, Field(max_length=1024)]
    cause: Annotated[str, Field(max_length=64)] = ""
    since: float
    """Seconds since 1970."""
    next_attempt: float | None = None
    instance: Annotated[str, Field(max_length=256)] = ""
    """The address of the delivery service that says it."""


class SpoolRoom(WireModel):
    """Whether a spool takes more objects."""

    refusing: Annotated[str, Field(max_length=16)] = ""
    """Why clients are refused: `full`, `disk` or `frozen`; empty: they aren't."""
    since: float
    """Seconds since 1970."""


class QueuePause(WireModel):
    """An operator's word that nothing be delivered for now; an empty reason with no time is `resume`."""

    paused: bool
    reason: Annotated[str, Field(max_length=LONGEST_REASON)] = ""
    until: float | None = None
    """Seconds since 1970; None: until `resume`."""
