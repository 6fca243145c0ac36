"""A half of an association: its peer on one side, segments over the mesh on the other (docs/architecture.md)."""

from dimse_mesh.endpoint.connection import PduReceiver, PeerConnection
from dimse_mesh.endpoint.half import AssociationHalf
from dimse_mesh.endpoint.half_state import HalfState
from dimse_mesh.endpoint.identity import AssociationIdentity, dimse_service, handler_of
from dimse_mesh.endpoint.occupancy import Occupancy
from dimse_mesh.endpoint.peer import PROVIDER_ABORT
from dimse_mesh.endpoint.router import Router
from dimse_mesh.endpoint.settings import HalfSettings
from dimse_mesh.endpoint.socket_peer import SocketPeer

__all__ = [
    "AssociationIdentity",
    "HalfSettings",
    "HalfState",
    "AssociationHalf",
    "Occupancy",
    "PROVIDER_ABORT",
    "PduReceiver",
    "PeerConnection",
    "Router",
    "SocketPeer",
    "dimse_service",
    "handler_of",
]
