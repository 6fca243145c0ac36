"""What a peer or the other endpoint may do wrong, and how the association ends for it: a code, and an abort reason."""

from __future__ import annotations

from dimse_mesh.dimse import DimseError
from dimse_mesh.encryption import EncryptionError
from dimse_mesh.mesh import PayloadTooLarge
from dimse_mesh.schemas.frames import FrameError
from dimse_mesh.streams.inbound import WindowOverrun
from dimse_mesh.streams.outbound import OutboundError
from dimse_mesh.upper_layer import AbortReason, UpperLayerError

FAULTS = (
    UpperLayerError,
    DimseError,
    FrameError,
    WindowOverrun,
    OutboundError,
    PayloadTooLarge,
    EncryptionError,
)
"""Errors that end the association in which they arise, and no other."""


def end_for(fault: Exception) -> tuple[str, AbortReason]:
    """Return the code of the end, for logs and spans, and the reason of the A-ABORT (PS3.8 §9.3.8) for a fault.

    Only what a peer did wrong has another reason than `NOT_SPECIFIED`.
    """
    match fault:
        case UpperLayerError():
            return fault.code, fault.abort_reason
        case DimseError():
            return f"dimse-{fault.code}", AbortReason.INVALID_PDU_PARAMETER_VALUE
        case PayloadTooLarge() | EncryptionError():
            return fault.code, AbortReason.NOT_SPECIFIED
        case _:
            return type(fault).__name__, AbortReason.NOT_SPECIFIED
