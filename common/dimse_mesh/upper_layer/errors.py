"""What may go wrong in the upper layer.

    UpperLayerError                 base: says what the A-ABORT must say, and a code for metrics
    +-- FramingError                the byte stream can't be cut any further; `completed` were whole before
    |   +-- PduTooLong              a PDU announces a body above the cap of the present state
    |   +-- UnrecognizedPdu         a PDU type that PS3.8 doesn't define
    |       +-- TlsRecord           the peer speaks TLS
    +-- MalformedPdu                lengths inside a PDU contradict each other or its size
    +-- InvalidTransition           the state table has no entry for this event

No text here ever holds bytes from a peer.
"""

from __future__ import annotations

from typing import ClassVar

from dimse_mesh.upper_layer.reasons import AbortReason, AbortSource


class UpperLayerError(Exception):
    """Base of every error that this package raises about a peer's bytes or an event out of place."""

    code: ClassVar[str] = "upper-layer"
    abort_source: ClassVar[AbortSource] = AbortSource.SERVICE_PROVIDER
    abort_reason: ClassVar[AbortReason] = AbortReason.NOT_SPECIFIED


class FramingError(UpperLayerError):
    """The stream can't be cut into PDUs any further: stop reading, abort.

    `completed` holds what the same read had completed before, as `Framer.feed` would have returned it.
    """

    code: ClassVar[str] = "framing"

    def __init__(self, message: str, completed: list[tuple[int, memoryview]]) -> None:
        super().__init__(message)
        self.completed = completed


class PduTooLong(FramingError):
    """A PDU announces more than the state allows; its body was not read."""

    code: ClassVar[str] = "pdu-too-long"
    abort_reason: ClassVar[AbortReason] = AbortReason.INVALID_PDU_PARAMETER_VALUE


class UnrecognizedPdu(FramingError):
    """The PDU type is none of 01H-07H (PS3.8 §9.3.1)."""

    code: ClassVar[str] = "unrecognized-pdu"
    abort_reason: ClassVar[AbortReason] = AbortReason.UNRECOGNIZED_PDU


class TlsRecord(UnrecognizedPdu):
    """What came is a TLS record instead of a PDU: a handshake or an alert (RFC 8446 §5.1)."""

    code: ClassVar[str] = "tls-record"


class MalformedPdu(UpperLayerError):
    """A PDU's inner lengths contradict each other or its size."""

    code: ClassVar[str] = "malformed-pdu"
    abort_reason: ClassVar[AbortReason] = AbortReason.INVALID_PDU_PARAMETER_VALUE


class InvalidTransition(UpperLayerError):
    """The event can't occur in this state: a local mistake, as table 9-10 has an answer to every PDU."""

    code: ClassVar[str] = "invalid-transition"
    abort_reason: ClassVar[AbortReason] = AbortReason.UNEXPECTED_PDU
