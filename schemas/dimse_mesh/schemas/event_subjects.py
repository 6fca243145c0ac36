"""The subjects of events: `<root>.event.<zone>.<kind>.<sender>`.

`<zone>` is the zone that the event is about. Who publishes stands at the end, as in every subject: a service of that
zone, or the delivery service of the zone that its objects go to.
"""

from __future__ import annotations

from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.events import EventKind
from dimse_mesh.schemas.tokens import encode_token

ANY_TOKEN = "*"


def event_subject(root: str, zone: str, kind: EventKind, sender: InstanceAddress) -> str:
    """Where `sender` publishes events of one kind."""
    return f"{root}.event.{encode_token(zone)}.{kind.value}.{sender.tokens}"


def event_grant(root: str, zone: str, kind: EventKind, *, sender_zone: str, role: Role) -> str:
    """Where the instances of a role publish events of one kind, for nats-server's permissions."""
    return f"{root}.event.{encode_token(zone)}.{kind.value}.{encode_token(sender_zone)}.{role.value}.*"


def event_interest(root: str, zone: str | None = None, kind: EventKind | None = None) -> str:
    """What to subscribe to: events of a zone and kind, or of all, whoever sends."""
    what = ANY_TOKEN if kind is None else kind.value
    return f"{root}.event.{ANY_TOKEN if zone is None else encode_token(zone)}.{what}.*.*.*"


def all_events(root: str, zone: str) -> str:
    """Everything about a zone, kinds of newer versions included."""
    return f"{root}.event.{encode_token(zone)}.>"


def event_stream(root: str, zone: str) -> str:
    """Name of the stream that keeps the events of a zone with durable routes."""
    return f"{encode_token(root)}~{encode_token(zone)}~events"


def event_replies(zone: str) -> str:
    """Where a program that reads the events of a zone takes JetStream's replies: its prefix of inboxes."""
    return f"_EVENTS.{encode_token(zone)}.>"
