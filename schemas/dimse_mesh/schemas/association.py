"""Messages that open an association across the mesh (DESIGN: linked associations).

The A-ASSOCIATE PDUs themselves travel in the raw tail of the envelope, byte for byte as received,
so that items unknown to us reach the other side.
"""

from __future__ import annotations

from enum import StrEnum

from dimse_mesh.schemas.service import WireModel


class Endpoint(WireModel):
    """One end of a link: an instance and its channel number (unsigned 32 bit) for the association."""

    instance: str
    channel: int


class OpenRequest(WireModel):
    """Front-end to executor: associate with the target. Tail: the client's A-ASSOCIATE-RQ PDU, whole."""

    association: str
    home_zone: str
    source: Endpoint
    called_ae: str
    calling_ae: str
    delivery: str
    window: int
    """Bytes that the front-end is ready to hold unconsumed."""
    deadline: float
    """Seconds that the front-end waits for the reply."""


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


class OpenReply(WireModel):
    """Executor to front-end. Tail: the target's A-ASSOCIATE-AC or A-ASSOCIATE-RJ or A-ABORT PDU, whole, if any."""

    result: OpenResult
    sink: Endpoint | None = None
    """The executor's end of the link, of no use unless it was accepted; none: it did not try."""
    window: int = 0
    """Bytes that the executor is ready to hold unconsumed."""
    detail: str = ""
    """A code for logs, never text from a peer."""
