"""What the standard enumerates in A-ASSOCIATE-RJ and A-ABORT (PS3.8 §9.3.4 table 9-21, §9.3.8 table 9-26)."""

from __future__ import annotations

from enum import IntEnum


class RejectResult(IntEnum):
    """Result of an A-ASSOCIATE-RJ."""

    PERMANENT = 1
    TRANSIENT = 2


class RejectSource(IntEnum):
    """Who rejects: decides which of the three reason enumerations applies."""

    SERVICE_USER = 1
    SERVICE_PROVIDER_ACSE = 2
    SERVICE_PROVIDER_PRESENTATION = 3


class UserRejectReason(IntEnum):
    """Reasons of `RejectSource.SERVICE_USER`; 4-6 and 8-10 are reserved."""

    NO_REASON_GIVEN = 1
    APPLICATION_CONTEXT_NAME_NOT_SUPPORTED = 2
    CALLING_AE_TITLE_NOT_RECOGNIZED = 3
    CALLED_AE_TITLE_NOT_RECOGNIZED = 7


class AcseRejectReason(IntEnum):
    """Reasons of `RejectSource.SERVICE_PROVIDER_ACSE`."""

    NO_REASON_GIVEN = 1
    PROTOCOL_VERSION_NOT_SUPPORTED = 2


class PresentationRejectReason(IntEnum):
    """Reasons of `RejectSource.SERVICE_PROVIDER_PRESENTATION`; 0 and 3-7 are reserved."""

    TEMPORARY_CONGESTION = 1
    LOCAL_LIMIT_EXCEEDED = 2


REJECT_REASONS: dict[RejectSource, type[IntEnum]] = {
    RejectSource.SERVICE_USER: UserRejectReason,
    RejectSource.SERVICE_PROVIDER_ACSE: AcseRejectReason,
    RejectSource.SERVICE_PROVIDER_PRESENTATION: PresentationRejectReason,
}


class AbortSource(IntEnum):
    """Who aborts; 1 is reserved. The reason is significant only if it is the provider."""

    SERVICE_USER = 0
    SERVICE_PROVIDER = 2


class AbortReason(IntEnum):
    """Why the provider aborts; 3 is reserved."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PDU_PARAMETER = 4
    UNEXPECTED_PDU_PARAMETER = 5
    INVALID_PDU_PARAMETER_VALUE = 6
