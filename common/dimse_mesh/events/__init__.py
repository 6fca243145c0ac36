"""Publish events: what happens in a zone, for whoever wants to act on it (docs/events.md).

publisher   at once, and later what NATS doesn't take now
kept        into the zone's stream, acknowledged by nats-server's disk
stream      that stream
"""

from dimse_mesh.events.kept import KeptEvents
from dimse_mesh.events.publisher import EventPublisher, event_publisher, event_uid, new_event_id
from dimse_mesh.events.stream import ensure_event_stream

__all__ = [
    "EventPublisher",
    "KeptEvents",
    "ensure_event_stream",
    "event_publisher",
    "event_uid",
    "new_event_id",
]
