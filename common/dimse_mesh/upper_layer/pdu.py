"""PDU types, and the PDUs of fixed size: A-ASSOCIATE-RJ, A-RELEASE-RQ/RP, A-ABORT (PS3.8 §9.3).

Every PDU begins with type (byte 1), a reserved byte, and the length of what follows (bytes 3-6, big endian).
`encode()` gives the whole PDU; `decode(body)` takes what follows those six bytes. It takes a body of any length, as
DICOM toolkits do: what is missing is filled in, what is too much is ignored. Of an A-RELEASE PDU nothing is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Self

from dimse_mesh.upper_layer.reasons import (
    REJECT_REASONS,
    AbortReason,
    AbortSource,
    AcseRejectReason,
    PresentationRejectReason,
    RejectResult,
    RejectSource,
    UserRejectReason,
)

__all__ = [
    "AbortReason",
    "AbortSource",
    "Abort",
    "AcseRejectReason",
    "AssociateRJ",
    "PduType",
    "PresentationRejectReason",
    "RELEASE_RP_PDU",
    "RELEASE_RQ_PDU",
    "RejectResult",
    "RejectSource",
    "UserRejectReason",
    "encode_pdu",
]

PDU_HEADER_LENGTH = 6
_PDU_HEADER = Struct(">BxI")  # PS3.8 §9.3.1: type, reserved, length


class PduType(IntEnum):
    """Byte 1 of a PDU (PS3.8 §9.3.1)."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    P_DATA_TF = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


# PS3.8 §9.3.6, §9.3.7: type, reserved, length 4, four reserved bytes
RELEASE_RQ_PDU: bytes = bytes((PduType.RELEASE_RQ, 0, 0, 0, 0, 4, 0, 0, 0, 0))
RELEASE_RP_PDU: bytes = bytes((PduType.RELEASE_RP, 0, 0, 0, 0, 4, 0, 0, 0, 0))

_UNSAID_REJECTION = bytes(
    (RejectResult.PERMANENT, RejectSource.SERVICE_USER, UserRejectReason.NO_REASON_GIVEN)
)
_UNSAID_ABORT = bytes((AbortSource.SERVICE_PROVIDER, AbortReason.NOT_SPECIFIED))


@dataclass(frozen=True, slots=True)
class AssociateRJ:
    """A-ASSOCIATE-RJ (PS3.8 §9.3.4); any byte values pass through, listed by the standard or not."""

    result: int  # byte 8
    source: int  # byte 9
    reason: int  # byte 10

    def encode(self) -> bytes:
        """Give the whole PDU."""
        return bytes((PduType.ASSOCIATE_RJ, 0, 0, 0, 0, 4, 0, self.result, self.source, self.reason))

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """Read the body. What is missing means: permanent, by the service user, no reason given."""
        said = bytes(body[1:4])
        return cls(*(said + _UNSAID_REJECTION[len(said) :]))

    def describe(self) -> str:
        """Say it in the standard's words, for logs; unlisted values as numbers."""
        reasons = REJECT_REASONS[RejectSource(self.source)] if _listed(RejectSource, self.source) else None
        return ", ".join(
            (_name(RejectResult, self.result), _name(RejectSource, self.source), _name(reasons, self.reason))
        )


@dataclass(frozen=True, slots=True)
class Abort:
    """A-ABORT (PS3.8 §9.3.8); any byte values pass through, listed by the standard or not."""

    source: int  # byte 9
    reason: int  # byte 10

    def encode(self) -> bytes:
        """Give the whole PDU."""
        return bytes((PduType.ABORT, 0, 0, 0, 0, 4, 0, 0, self.source, self.reason))

    @classmethod
    def decode(cls, body: bytes | memoryview) -> Self:
        """Read the body. What is missing means: by the service provider, reason not specified."""
        said = bytes(body[2:4])
        return cls(*(said + _UNSAID_ABORT[len(said) :]))

    def describe(self) -> str:
        """Say it in the standard's words, for logs; unlisted values as numbers."""
        reasons = AbortReason if self.source == AbortSource.SERVICE_PROVIDER else None
        return f"{_name(AbortSource, self.source)}, {_name(reasons, self.reason)}"


def encode_pdu(pdu_type: int, body: bytes | memoryview) -> bytes:
    """Give the whole PDU that has this body."""
    return b"".join((_PDU_HEADER.pack(pdu_type, len(body)), body))


def _listed(kind: type[IntEnum], value: int) -> bool:
    return value in kind._value2member_map_


def _name(kind: type[IntEnum] | None, value: int) -> str:
    if kind is None or not _listed(kind, value):
        return str(value)
    return kind(value).name.lower().replace("_", "-")
