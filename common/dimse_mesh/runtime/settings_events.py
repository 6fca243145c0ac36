"""Settings of events: what happens in this zone, published for whoever wants to act on it."""

from __future__ import annotations

from pydantic import Field

from dimse_mesh.runtime.settings_fields import Count, SettingsModel


class EventsSettings(SettingsModel):
    """Events of this zone (docs/events.md)."""

    enabled: bool = Field(
        default=False, description="publish events: associations, objects, studies, deliveries, commitments"
    )
    max_waiting: Count = Field(
        default=10_000,
        description="events that a process keeps while NATS is away; more, and the oldest is lost",
    )
