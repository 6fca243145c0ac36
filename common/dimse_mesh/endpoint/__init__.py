"""Both ends of a link: a peer's association here, segments over the mesh there (docs/architecture.md)."""

from dimse_mesh.endpoint.connection import PduReceiver, PeerConnection
from dimse_mesh.endpoint.identity import LinkIdentity, dimse_service, handler_of
from dimse_mesh.endpoint.link import Link
from dimse_mesh.endpoint.link_state import LinkState
from dimse_mesh.endpoint.occupancy import Occupancy
from dimse_mesh.endpoint.peer import PROVIDER_ABORT
from dimse_mesh.endpoint.router import Router
from dimse_mesh.endpoint.settings import LinkSettings
from dimse_mesh.endpoint.socket_peer import SocketPeer

__all__ = [
    "LinkIdentity",
    "LinkSettings",
    "LinkState",
    "Link",
    "Occupancy",
    "PROVIDER_ABORT",
    "PduReceiver",
    "PeerConnection",
    "Router",
    "SocketPeer",
    "dimse_service",
    "handler_of",
]
