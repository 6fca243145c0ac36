"""Settings of events: what happens in this zone, published for whoever wants to act on it."""

from __future__ import annotations

from pydantic import Field

from dimse_mesh.runtime.settings_fields import Count, Seconds, SecondsOrOff, SettingsModel

MIB = 1024 * 1024


class EventsSettings(SettingsModel):
    """Events of this zone (docs/events.md)."""

    enabled: bool = Field(
        default=False, description="publish events: associations, objects, studies, deliveries, commitments"
    )
    study_quiet: SecondsOrOff = Field(
        default=30.0,
        description="seconds without an object of a study after which it counts as quiet; 0: never",
    )
    max_waiting: Count = Field(
        default=10_000,
        description="events that a process keeps while NATS is away; more, and the oldest is lost",
    )
    max_age: Seconds = Field(
        default=7 * 86400.0,
        description="seconds that a zone with durable routes keeps its events in JetStream",
    )
    max_bytes: int = Field(
        default=256 * MIB,
        ge=MIB,
        description="bytes of events that it keeps, and no more than an eighth of spool.max_bytes; the oldest go first",
    )
