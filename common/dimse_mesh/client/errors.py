"""Why there is no association, or no longer."""

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
    """The peer closed the connection when everything but its response had been said."""
    NO_CONTEXT = auto()
    PROTOCOL_ERROR = auto()


class AssociationError(Exception):
    """No association, or no longer: rejected, aborted, lost, silent. The message says which.

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
