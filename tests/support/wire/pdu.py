"""PDUs, whatever they hold (PS3.8 §9.3.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum


class PduType(IntEnum):
    """PS3.8 §9.3.1."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    P_DATA_TF = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


@dataclass(frozen=True, slots=True)
class Pdu:
    """One PDU as received: its type and the bytes after the six-byte header."""

    kind: int
    body: bytes

    @property
    def whole(self) -> bytes:
        """The PDU with its header."""
        return pdu(self.kind, self.body)


def pdu(kind: int, body: bytes) -> bytes:
    """Return a PDU of this type around `body`."""
    return struct.pack(">BBI", kind, 0, len(body)) + body


def abort(source: int = 0, reason: int = 0) -> bytes:
    """Return an A-ABORT (PS3.8 §9.3.8)."""
    return pdu(PduType.ABORT, bytes((0, 0, source, reason)))


RELEASE_RQ_PDU = pdu(PduType.RELEASE_RQ, bytes(4))
RELEASE_RP_PDU = pdu(PduType.RELEASE_RP, bytes(4))
