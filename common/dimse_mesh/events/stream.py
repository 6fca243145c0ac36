"""The stream that keeps the events of a zone with durable routes."""

from __future__ import annotations

from dimse_mesh.mesh import JetStream, MeshError
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.schemas.event_subjects import all_events, event_stream

_SECOND = 1_000_000_000
"""In nanoseconds, as JetStream counts."""
_DUPLICATE_WINDOW = 120 * _SECOND


async def ensure_event_stream(jetstream: JetStream, settings: ZoneSettings) -> None:
    """Create the stream of a zone's events, or change it to what the settings say.

    Raises:
        StartError: nats-server doesn't create it.
    """
    root, zone, events = settings.subject_root, settings.zone, settings.events
    config = {
        "name": event_stream(root, zone),
        "subjects": [all_events(root, zone)],
        "retention": "limits",
        "storage": "file",
        "num_replicas": settings.spool.replicas,
        "duplicate_window": _DUPLICATE_WINDOW,
        "allow_direct": True,
        "discard": "old",
        "max_age": int(events.max_age * _SECOND),
        "max_bytes": min(events.max_bytes, settings.spool.max_bytes // 8),
    }
    try:
        await jetstream.ensure_stream(config)
    except MeshError as error:
        raise StartError(
            f"events: nats-server does not create the stream {config['name']}: {error} (events.max_bytes)"
        ) from error
