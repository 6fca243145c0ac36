"""An SCU of our own: for the command line, the demo, and whatever the mesh sends by itself."""

from dimse_mesh.client.association import (
    EXPLICIT_LE,
    IMPLICIT_LE,
    MAX_CONTEXTS,
    VERIFICATION,
    Context,
    DicomClient,
    DimseMessage,
    Proposal,
    connect_tcp,
)
from dimse_mesh.client.errors import AssociationError, AssociationFailure

__all__ = [
    "EXPLICIT_LE",
    "IMPLICIT_LE",
    "MAX_CONTEXTS",
    "VERIFICATION",
    "AssociationError",
    "AssociationFailure",
    "Context",
    "DicomClient",
    "DimseMessage",
    "Proposal",
    "connect_tcp",
]
