"""A small SCU: the command line, the demo and the mesh's own deliveries use it."""

from dimse_mesh.client.association import (
    MAX_CONTEXTS,
    VERIFICATION,
    Context,
    DicomClient,
    DimseMessage,
    Proposal,
    connect_tcp,
)
from dimse_mesh.client.errors import AssociationError, AssociationFailure
from dimse_mesh.client.line import ClientLine, InProcessLine

__all__ = [
    "MAX_CONTEXTS",
    "VERIFICATION",
    "AssociationError",
    "AssociationFailure",
    "ClientLine",
    "Context",
    "DicomClient",
    "DimseMessage",
    "InProcessLine",
    "Proposal",
    "connect_tcp",
]
