"""The only importer of nats: connections, typed request/reply, liveness, discovery, JetStream."""

from dimse_mesh.mesh.connection import Mesh, open_mesh
from dimse_mesh.mesh.discovery import EndpointStats, ServiceDescription, ServiceEndpoint, announce
from dimse_mesh.mesh.envelope import pack, unpack, unpack_known
from dimse_mesh.mesh.errors import (
    EnvelopeError,
    ForeignVersion,
    InvalidSubject,
    JetStreamRefusal,
    MeshError,
    MeshTimeout,
    MeshUnavailable,
    NoResponders,
    NotPermitted,
    PayloadTooLarge,
    RemoteError,
)
from dimse_mesh.mesh.failure_detector import LiveInstance, LivenessSettings
from dimse_mesh.mesh.jetstream import JetStream
from dimse_mesh.mesh.jetstream_replies import (
    Batch,
    StoredMessage,
    StreamFull,
    WrongLastSequence,
    number_in,
)
from dimse_mesh.mesh.liveness import Liveness, announce_death, open_liveness
from dimse_mesh.mesh.receive_blocks import ReceiveBlocks, last_long
from dimse_mesh.mesh.removal import message_of, newest_message_of, purge_up_to, remove_message
from dimse_mesh.mesh.requests import Reply
from dimse_mesh.mesh.settings import NatsSettings, NatsTls
from dimse_mesh.mesh.subscription import Subscription
from dimse_mesh.mesh.turn import Turn, TurnWriter
from dimse_mesh.mesh.wire import Message

__all__ = [
    "Batch",
    "JetStream",
    "JetStreamRefusal",
    "StoredMessage",
    "StreamFull",
    "WrongLastSequence",
    "Message",
    "EndpointStats",
    "EnvelopeError",
    "ForeignVersion",
    "InvalidSubject",
    "LiveInstance",
    "Liveness",
    "LivenessSettings",
    "Mesh",
    "MeshError",
    "MeshTimeout",
    "MeshUnavailable",
    "NatsSettings",
    "NatsTls",
    "NoResponders",
    "NotPermitted",
    "PayloadTooLarge",
    "RemoteError",
    "ReceiveBlocks",
    "Reply",
    "ServiceDescription",
    "ServiceEndpoint",
    "Subscription",
    "Turn",
    "TurnWriter",
    "announce",
    "announce_death",
    "last_long",
    "message_of",
    "newest_message_of",
    "number_in",
    "open_liveness",
    "open_mesh",
    "pack",
    "purge_up_to",
    "remove_message",
    "unpack",
    "unpack_known",
]
