"""Who is let in, decided from the A-ASSOCIATE-RQ alone, before the mesh is asked."""

from __future__ import annotations

from collections.abc import Collection

from dimse_mesh.upper_layer import (
    AcseRejectReason,
    AssociateRJ,
    AssociateRQ,
    PresentationRejectReason,
    RejectResult,
    RejectSource,
    UserRejectReason,
)

CALLED_NOT_RECOGNIZED = AssociateRJ(
    RejectResult.PERMANENT, RejectSource.SERVICE_USER, UserRejectReason.CALLED_AE_TITLE_NOT_RECOGNIZED
)
CALLING_NOT_RECOGNIZED = AssociateRJ(
    RejectResult.PERMANENT, RejectSource.SERVICE_USER, UserRejectReason.CALLING_AE_TITLE_NOT_RECOGNIZED
)
CONGESTION = AssociateRJ(
    RejectResult.TRANSIENT,
    RejectSource.SERVICE_PROVIDER_PRESENTATION,
    PresentationRejectReason.TEMPORARY_CONGESTION,
)
LIMIT_EXCEEDED = AssociateRJ(
    RejectResult.TRANSIENT,
    RejectSource.SERVICE_PROVIDER_PRESENTATION,
    PresentationRejectReason.LOCAL_LIMIT_EXCEEDED,
)
VERSION_NOT_SUPPORTED = AssociateRJ(
    RejectResult.PERMANENT,
    RejectSource.SERVICE_PROVIDER_ACSE,
    AcseRejectReason.PROTOCOL_VERSION_NOT_SUPPORTED,
)


def objection(
    request: AssociateRQ, *, called: Collection[str] | None, calling: Collection[str] | None
) -> AssociateRJ | None:
    """Return why an association request is rejected at the door, or None.

    Args:
        request: what the client sent.
        called: AE titles that its listener answers for; None: all.
        calling: AE titles that are let in; None: all.
    """
    if not request.protocol_version & 1:  # PS3.8 §9.3.2: bit 0 is version 1
        return VERSION_NOT_SUPPORTED
    if calling is not None and request.calling_ae not in calling:
        return CALLING_NOT_RECOGNIZED
    if called is not None and request.called_ae not in called:
        return CALLED_NOT_RECOGNIZED
    return None
