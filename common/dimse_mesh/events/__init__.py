"""Publish events: what happens in a zone, for whoever wants to act on it (docs/events.md)."""

from dimse_mesh.events.publisher import EventPublisher, event_publisher, event_uid, new_event_id

__all__ = ["EventPublisher", "event_publisher", "event_uid", "new_event_id"]
