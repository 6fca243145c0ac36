"""The A-ASSOCIATE-RJs that the mesh itself sends (PS3.8 §9.3.4)."""

from __future__ import annotations

from dimse_mesh.upper_layer import (
    AcseRejectReason,
    AssociateRJ,
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
NOT_ENCRYPTED = AssociateRJ(
    RejectResult.PERMANENT, RejectSource.SERVICE_PROVIDER_ACSE, AcseRejectReason.NO_REASON_GIVEN
)
"""The association can't be encrypted from zone to zone, and has to be."""
VERSION_NOT_SUPPORTED = AssociateRJ(
    RejectResult.PERMANENT,
    RejectSource.SERVICE_PROVIDER_ACSE,
    AcseRejectReason.PROTOCOL_VERSION_NOT_SUPPORTED,
)
