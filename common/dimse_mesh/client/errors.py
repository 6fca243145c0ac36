"""Reasons why an association could not be opened, or has ended."""

from __future__ import annotations

from enum import Enum, auto

from dimse_mesh.upper_layer import AssociateRJ


class AssociationFailure(Enum):
    """What happened to an association."""

    REJECTED = auto()
    ABORTED = auto()
    UNREACHABLE = auto()
    TLS_FAILED = auto()
    TIMED_OUT = auto()
    LOST = auto()
    NO_RESPONSE = auto()
    """The peer closed the connection when only its response was outstanding."""
    NO_CONTEXT = auto()
    PROTOCOL_ERROR = auto()


class AssociationError(Exception):
    """The association was rejected, aborted, lost, or its peer stayed silent. The message says which.

    Attributes:
        failure: the same, for programs.
        rejection: the peer's A-ASSOCIATE-RJ.
    """

    def __init__(
        self,
        message: str,
        failure: AssociationFailure = AssociationFailure.PROTOCOL_ERROR,
        *,
        rejection: AssociateRJ | None = None,
    ) -> None:
        super().__init__(message)
        self.failure = failure
        self.rejection = rejection
