"""Every subject of the mesh, spelt in this one place.

A `Subject` ties a NATS subject to the types of its request and reply, so that whoever
publishes and whoever subscribes can't disagree about either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from dimse_mesh.schemas.association import OpenReply, OpenRequest
from dimse_mesh.schemas.operation import OperationRequest, Refusal
from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.schemas.slots import SlotReply, SlotRequest

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@dataclass(frozen=True, slots=True)
class Subject(Generic[RequestT, ReplyT]):
    """A subject with the types that travel on it, and the queue group that shares its messages."""

    name: str
    request: type[RequestT]
    reply: type[ReplyT]
    queue: str = ""

    def __str__(self) -> str:
        return self.name


def encode_token(text: str) -> str:
    """Encode any text as one subject token, reversibly; unreserved characters stay readable.

    Everything outside ``A-Z a-z 0-9 - _`` becomes ``%XX`` for each of its UTF-8 bytes; the empty
    text becomes a lone ``%``.
    """
    if not text:
        return "%"
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in text.encode())


def decode_token(token: str) -> str:
    """Return the text that `encode_token` made `token` from.

    Raises:
        ValueError: `token` is not the encoding of any text.
    """
    if token == "%":
        return ""
    head, *rest = token.split("%")
    data = bytearray(head.encode())
    for part in rest:
        data.append(int(part[:2], 16))
        data += part[2:].encode()
    text = data.decode()
    if encode_token(text) != token:
        raise ValueError(f"not an encoded subject token: {token!r}")
    return text


@dataclass(frozen=True, slots=True)
class Subjects:
    """The subjects under one root (`subject_root` of the configuration)."""

    root: str

    def ae_open(self, ae_title: str) -> Subject[OpenRequest, OpenReply]:
        """Where executors that can reach `ae_title` are asked for an association."""
        return Subject(f"{self.root}.ae.{encode_token(ae_title)}.open", OpenRequest, OpenReply, "scu")

    def zone_open(self, zone: str) -> Subject[OpenRequest, OpenReply]:
        """Where a zone is asked for an association with its default target."""
        return Subject(f"{self.root}.zone.{encode_token(zone)}.open", OpenRequest, OpenReply, "scu")

    def operations(self, zone: str, service: ServiceName) -> Subject[OperationRequest, Refusal]:
        """Where the handlers of `service` in `zone` take operations."""
        return Subject(
            f"{self.root}.zone.{encode_token(zone)}.{service}", OperationRequest, Refusal, str(service)
        )

    def slots(self, instance: str) -> Subject[SlotRequest, SlotReply]:
        """Where `instance`, when it is its zone's slot keeper, is asked for slots and told of free ones."""
        return Subject(f"{self.root}.i.{instance}.slots", SlotRequest, SlotReply)

    def link(self, instance: str) -> str:
        """Frames for `instance`, control connection."""
        return f"{self.root}.i.{instance}.link"

    def approved(self, instance: str) -> str:
        """Operations that a handler approved, for the sink `instance`; control connection."""
        return f"{self.root}.i.{instance}.op"

    def data(self, instance: str) -> str:
        """Data set frames for `instance`, bulk connection."""
        return f"{self.root}.i.{instance}.data"

    def ping(self, instance: str) -> str:
        """Liveness probes of `instance`."""
        return f"{self.root}.i.{instance}.ping"

    def greeting(self, instance: str) -> str:
        """Heartbeats for the newcomer `instance` alone, of those who were there before."""
        return f"{self.root}.i.{instance}.greeting"

    def refused(self, instance: str, channel: int | str, position: int | str) -> str:
        """Refusals of one operation from `instance`, and the server's 503 when its queue group is empty."""
        return f"{self.root}.i.{instance}.refused.{channel}.{position}"

    def inbox(self, instance: str) -> str:
        """Prefix of the reply subjects of `instance`'s requests."""
        return f"{self.root}.i.{instance}.inbox"

    @property
    def live(self) -> str:
        """Heartbeats of every instance."""
        return f"{self.root}.live"

    @property
    def dead(self) -> str:
        """Obituaries: an instance that is known to be gone."""
        return f"{self.root}.dead"
