"""The only importer of nats: connections, typed request/reply, liveness, discovery, the embedded server."""

from dimse_mesh.mesh.connection import Mesh, Subscription, open_mesh
from dimse_mesh.mesh.envelope import pack, unpack
from dimse_mesh.mesh.errors import (
    EmbeddedServerError,
    EnvelopeError,
    InvalidSubject,
    MeshError,
    MeshTimeout,
    MeshUnavailable,
    NoResponders,
    PayloadTooLarge,
    RemoteError,
)
from dimse_mesh.mesh.settings import NatsSettings, NatsTls
from dimse_mesh.mesh.wire import Delivery

__all__ = [
    "Delivery",
    "EmbeddedServerError",
    "EnvelopeError",
    "InvalidSubject",
    "Mesh",
    "MeshError",
    "MeshTimeout",
    "MeshUnavailable",
    "NatsSettings",
    "NatsTls",
    "NoResponders",
    "PayloadTooLarge",
    "RemoteError",
    "Subscription",
    "open_mesh",
    "pack",
    "unpack",
]
