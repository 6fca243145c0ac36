"""Messages that open an association across the mesh (docs/architecture.md, "Opening").

The A-ASSOCIATE PDUs themselves travel in the raw tail of the envelope, byte for byte as received,
so that items unknown to us reach the other side. Both halves are addressed by the sender's tokens of the subject and
the channel in the message; the front-end's zone is the association's home zone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from dimse_mesh.schemas.service import AeTitle, Channel, WireModel

ZoneName = Annotated[str, Field(max_length=128)]
AssociationId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Window = Annotated[int, Field(ge=0, le=1 << 30)]


KeyId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
HandshakeMessage = Annotated[str, Field(max_length=256, pattern=r"^[A-Za-z0-9+/=]*$")]
"""A message of a Noise handshake, in base64."""
MOST_OFFERS = 64
"""Zones that an encryption is offered to, at most."""


class EncryptionOffer(WireModel):
    """A front-end's first handshake message to one zone."""

    from_key: KeyId
    """Of the front-end's zone."""
    to_key: KeyId
    """Of the zone that it is for."""
    message: HandshakeMessage


class OpenRequest(WireModel):
    """Front-end to executor: associate with the target. Tail: the client's A-ASSOCIATE-RQ PDU, whole."""

    association: AssociationId
    channel: Channel
    """Of the front-end's half."""
    called_ae: AeTitle
    calling_ae: AeTitle
    delivery: Annotated[str, Field(max_length=32)]
    window: Window
    """Bytes that the front-end is ready to hold unconsumed."""
    deadline: Annotated[float, Field(gt=0, le=7 * 24 * 3600.0, allow_inf_nan=False)]
    """Seconds that the front-end waits for the reply."""
    encryption: Annotated[dict[ZoneName, EncryptionOffer], Field(max_length=MOST_OFFERS)] = Field(
        default_factory=dict
    )
    """By zone; none: the association isn't encrypted."""


class OpenResult(StrEnum):
    """What came of an `OpenRequest`."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    ABORTED = "aborted"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed-out"
    TLS_FAILED = "tls-failed"
    LIMIT = "limit"
    """The target's `max_associations` is reached in the whole zone."""
    BUSY = "busy"
    """This executor is full or draining: ask the queue group again."""


CLOSED_BY_TARGET = "closed-by-target"
"""Detail of `UNREACHABLE`: the target was reached, and closed without an answer."""
BROKEN_BY_TARGET = frozenset(("malformed-pdu", "pdu-too-long", "unexpected-pdu", "unrecognized-pdu"))
"""Details of `UNREACHABLE`: the target was reached, and its answer makes no sense."""


class OpenReply(WireModel):
    """Executor to front-end. Tail: the target's A-ASSOCIATE-AC or A-ASSOCIATE-RJ or A-ABORT PDU, whole, if any."""

    result: OpenResult
    channel: Channel | None = None
    """Of the executor's half, of no use unless it was accepted; none: it did not try."""
    window: Window = 0
    """Bytes that the executor is ready to hold unconsumed."""
    detail: Annotated[str, Field(max_length=128)] = ""
    """A code for logs, never text from a peer."""
    encryption: HandshakeMessage = ""
    """The executor's answer to the offer for its zone; none: the association isn't encrypted."""
