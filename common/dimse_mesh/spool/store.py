"""The streams of a source zone, as JetStream is asked for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dimse_mesh.mesh import JetStream, JetStreamRefusal, MeshError, NoResponders
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.settings_durable import SpoolSettings
from dimse_mesh.schemas.spool_subjects import SpoolSubjects, state_interest, state_stream

OLDEST_SERVER = (2, 15)
"""Before this one nats-server lost acknowledged messages when it compacted a block (nats-server #8456, #8475)."""
DUPLICATE_WINDOW = 120 * 1_000_000_000
"""Nanoseconds in which nats-server knows a message again that is sent twice."""
STATE_BYTES = 16 << 20


def spool_config(spool: SpoolSubjects, settings: SpoolSettings) -> dict[str, Any]:
    """Return the configuration of a destination's stream.

    Nothing is ever removed by nats-server itself: only the delivery that has succeeded, or an operator, removes.
    """
    return {
        "name": spool.stream,
        "subjects": list(spool.interest),
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_bytes": settings.max_bytes,
        "num_replicas": settings.replicas,
        "duplicate_window": DUPLICATE_WINDOW,
        "allow_direct": True,
        "republish": {"src": spool.object(), "dest": spool.spooled, "headers_only": True},
    }


def state_config(root: str, zone: str, settings: SpoolSettings) -> dict[str, Any]:
    """Return the configuration of the stream of what a source zone keeps about its destinations."""
    return {
        "name": state_stream(root, zone),
        "subjects": [state_interest(root, zone)],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_bytes": STATE_BYTES,
        "max_msgs_per_subject": 1,
        "num_replicas": settings.replicas,
        "duplicate_window": DUPLICATE_WINDOW,
        "allow_direct": True,
        "allow_rollup_hdrs": True,
    }


async def ensure_streams(
    jetstream: JetStream, root: str, zone: str, spools: Sequence[SpoolSubjects], settings: SpoolSettings
) -> None:
    """Create the streams of a source zone that are missing.

    Raises:
        StartError: JetStream isn't there, is too old, or grants less than the settings ask for.
    """
    configs = [
        state_config(root, zone, settings),
        *(spool_config(spool, settings) for spool in dict.fromkeys(spools)),
    ]
    try:
        for config in configs:
            found = await jetstream.ensure_stream(config)
            _check_version(found["config"].get("metadata") or {})
    except NoResponders as error:
        raise StartError(f"durable routes need JetStream: {error}") from error
    except JetStreamRefusal as error:
        raise StartError(
            f"durable routes: nats-server does not create the stream {config['name']}: {error} "
            "(spool.max_bytes, spool.replicas)"
        ) from error
    except MeshError as error:
        raise StartError(f"durable routes: {error}") from error


def _check_version(metadata: dict[str, str]) -> None:
    """Refuse a nats-server that loses what it has acknowledged.

    Raises:
        StartError: it is one.
    """
    version = metadata.get("_nats.ver", "0")
    numbers = tuple(int(part) for part in version.split("-")[0].split(".")[:2] if part.isdigit())
    if numbers < OLDEST_SERVER:
        raise StartError(
            f"durable routes need nats-server {'.'.join(map(str, OLDEST_SERVER))} or later, this one is {version}: "
            "older ones lose acknowledged messages when they compact a block and the power fails"
        )
