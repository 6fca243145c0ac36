"""Every subject of the mesh, spelt in this one place.

    <root>.i.<zone>.<role>.<instance>.<kind>.<sender>     to one instance; `Kind` says what
    <root>.live.<sender>, <root>.dead.<sender>            to everybody: heartbeats, obituaries
    <root>.ae.<AET>.open.<sender>                         to the executors of an AE
    <root>.zone.<zone>.open.<sender>                      to the executors of a zone's default target
    <root>.zone.<zone>.<service>.<sender>                 to the handlers of a zone

`<sender>` is the address of who publishes: zone, role and instance, the last three tokens of every subject. Whoever
subscribes puts `*.*.*` there, once for each kind.

A `Subject` ties a NATS subject to the types of its request and reply, so that whoever
publishes and whoever subscribes can't disagree about either.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Generic, TypeVar

from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.association import OpenReply, OpenRequest
from dimse_mesh.schemas.operation import OperationRequest, Refusal
from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.schemas.slots import SlotReply, SlotRequest
from dimse_mesh.schemas.tokens import encode_token

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")

ANY_SENDER = "*.*.*"
TOOLS_ASK = "$SRV.>"
"""Where the tools of NATS ask services to describe themselves (`described_at`)."""
TOOLS_INBOX = "_INBOX.>"
"""Where those tools take the replies. No message of the mesh travels there."""


def jetstream_api(domain: str | None) -> str:
    """Return the prefix of JetStream's API: of a domain, or of the nats-server that one is connected to."""
    return "$JS.API" if domain is None else f"$JS.{domain}.API"


class Kind(StrEnum):
    """What a message to one instance is: the token before the sender's."""

    LINK = "link"
    """Frames, on the control connection."""
    DATA = "data"
    """Frames with pieces of data sets, on the bulk connection."""
    OP = "op"
    """An operation that a handler has approved."""
    REFUSED = "refused"
    """A handler's refusal of an operation."""
    UNSERVED = "unserved"
    """Nobody publishes here: nats-server says so that a handler's queue group is empty (status 503)."""
    INBOX = "inbox"
    """The reply to a request; a random token of the request stands behind it."""
    PING = "ping"
    """Are you there?"""
    PONG = "pong"
    """I am; or nats-server's status 503: it knows nobody who would say so."""
    GREETING = "greeting"
    """A heartbeat for one that came later than its sender."""
    SLOTS = "slots"
    """What another executor of the zone holds of a limited target."""
    JETSTREAM = "jetstream"
    """Replies of JetStream; a number of the request stands behind it."""
    CALLBACK = "callback"
    """What a target may call back for, with rewritten AE titles."""
    COMMITMENT = "commitment"
    """A destination's report of storage commitment, for the delivery service of its zone; and what that answers."""


@dataclass(frozen=True, slots=True)
class Subject(Generic[RequestT, ReplyT]):
    """A subject without its sender, the types that travel on it, and the queue group that shares its messages."""

    name: str
    request: type[RequestT]
    reply: type[ReplyT]
    queue: str = ""

    @property
    def interest(self) -> str:
        """What to subscribe to: whoever sends."""
        return f"{self.name}.{ANY_SENDER}"

    def sent_by(self, sender: InstanceAddress) -> str:
        """What `sender` publishes to."""
        return f"{self.name}.{sender.tokens}"

    def __str__(self) -> str:
        return self.name


@lru_cache(4096)
def _to(root: str, receiver: InstanceAddress, kind: Kind, sender: InstanceAddress) -> str:
    return f"{root}.i.{receiver.tokens}.{kind.value}.{sender.tokens}"


@dataclass(frozen=True, slots=True)
class ServiceSubjects:
    """The subjects under one root (`subject_root` of the configuration) that are no single instance's."""

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

    @property
    def all_live(self) -> str:
        """Heartbeats of every instance."""
        return f"{self.root}.live.{ANY_SENDER}"

    @property
    def all_dead(self) -> str:
        """Obituaries of every zone."""
        return f"{self.root}.dead.{ANY_SENDER}"


@dataclass(frozen=True, slots=True)
class SubjectPatterns:
    """The subjects of all instances of one role in a zone, for nats-server's permissions.

    Those that it publishes to end with its own zone and role. Receivers are given by zone and role; None: any.
    """

    root: str
    zone: str
    role: Role

    @property
    def _own(self) -> str:
        return f"{encode_token(self.zone)}.{self.role.value}.*"

    def _receiver(self, zone: str | None, role: Role | None) -> str:
        return f"{_any_or(zone)}.{_any_or(role)}.*"

    # what it publishes to

    def to(self, kind: Kind, *, zone: str | None = None, role: Role | None = None) -> str:
        """Messages of one kind."""
        return f"{self.root}.i.{self._receiver(zone, role)}.{kind.value}.{self._own}"

    def reply(self, *, zone: str | None = None, role: Role | None = None) -> str:
        """Replies to the requests of a role."""
        return f"{self.root}.i.{self._receiver(zone, role)}.{Kind.INBOX.value}.*.{self._own}"

    @property
    def live(self) -> str:
        """Its heartbeats."""
        return f"{self.root}.live.{self._own}"

    @property
    def dead(self) -> str:
        """Its obituaries."""
        return f"{self.root}.dead.{self._own}"

    def ae_open(self, ae_title: str | None = None) -> str:
        """Openings for an AE title."""
        return f"{self.root}.ae.{_any_or(ae_title)}.open.{self._own}"

    def zone_open(self, zone: str | None = None) -> str:
        """Openings for a zone's default target."""
        return f"{self.root}.zone.{_any_or(zone)}.open.{self._own}"

    def operations(self, service: ServiceName, zone: str | None = None) -> str:
        """Operations for the handlers of a zone."""
        return f"{self.root}.zone.{_any_or(zone)}.{service.value}.{self._own}"

    # what it subscribes to

    @property
    def mine(self) -> str:
        """Everything that is for one of its instances."""
        return f"{self.root}.i.{self._own}.>"

    @property
    def jetstream(self) -> str:
        """JetStream's replies to its requests."""
        return f"{self.root}.i.{self._own}.{Kind.JETSTREAM.value}.*.*"


def described_at(service: ServiceName, instance: str = "*", verb: str = "*") -> tuple[str, ...]:
    """Return where an instance is asked to describe itself, by the contract of NATS's services (ADR-32)."""
    name = service_name(service)
    return f"$SRV.{verb}", f"$SRV.{verb}.{name}", f"$SRV.{verb}.{name}.{instance}"


def service_name(service: ServiceName) -> str:
    """Return the name under which NATS's tools know a service."""
    return f"dimse-mesh-{service.value}"


def _any_or(text: str | None) -> str:
    return "*" if text is None else encode_token(text)


@dataclass(frozen=True, slots=True)
class Subjects(ServiceSubjects):
    """The subjects as one instance uses them: it publishes as itself and hears what is for it."""

    own: InstanceAddress

    # what it publishes to

    def to(self, receiver: InstanceAddress, kind: Kind) -> str:
        """Messages of one kind for `receiver`."""
        return _to(self.root, receiver, kind, self.own)

    def slots(self, receiver: InstanceAddress) -> Subject[SlotRequest, SlotReply]:
        """Where `receiver`, when it is its zone's slot keeper, is asked for slots and told of free ones."""
        return Subject(f"{self.root}.i.{receiver.tokens}.{Kind.SLOTS.value}", SlotRequest, SlotReply)

    @property
    def live(self) -> str:
        """Heartbeats of this instance."""
        return f"{self.root}.live.{self.own.tokens}"

    @property
    def dead(self) -> str:
        """Obituaries that this instance publishes."""
        return f"{self.root}.dead.{self.own.tokens}"

    # what it subscribes to

    def mine(self, kind: Kind) -> str:
        """Messages of one kind for this instance, from anybody."""
        return f"{self.root}.i.{self.own.tokens}.{kind.value}.{ANY_SENDER}"

    # where replies go

    def jetstream(self, connection: str) -> str:
        """Prefix of the reply subjects of what this instance asks JetStream on one of its connections."""
        return f"{self.root}.i.{self.own.tokens}.{Kind.JETSTREAM.value}.{connection}"

    def unserved(self, channel: int | str) -> str:
        """The reply subject of an operation: the server's 503 comes there when its queue group is empty."""
        return f"{self.root}.i.{self.own.tokens}.{Kind.UNSERVED.value}.{channel}"

    @property
    def inbox(self) -> str:
        """Prefix of the reply subjects of this instance's requests."""
        return f"{self.root}.i.{self.own.tokens}.{Kind.INBOX.value}"

    def pong(self, of: InstanceAddress | None = None) -> str:
        """The reply subject of a ping; the one asked, or the server in its place, answers there. None: of anybody."""
        return f"{self.root}.i.{self.own.tokens}.{Kind.PONG.value}.{ANY_SENDER if of is None else of.tokens}"

    def reply_to(self, asker: InstanceAddress, reply: str) -> str | None:
        """Return where to answer a request of `asker` that came with `reply`; None: it is no inbox of the asker's."""
        prefix = f"{self.root}.i.{asker.tokens}.{Kind.INBOX.value}."
        token = reply.removeprefix(prefix)
        if not reply.startswith(prefix) or not token.isalnum() or len(token) > 64:
            return None
        return f"{reply}.{self.own.tokens}"
