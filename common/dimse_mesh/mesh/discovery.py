"""Answers `nats micro ls|info|stats`: the $SRV contract of NATS services (ADR-32), over `Mesh.subscribe`.

nats.micro itself runs one handler at a time and drops requests in flight when it stops; the services here only
describe themselves, and serve their endpoints their own way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from dimse_mesh.mesh.connection import Mesh
from dimse_mesh.mesh.subscription import Subscription
from dimse_mesh.mesh.wire import Message
from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.schemas.subjects import TOOLS_INBOX, described_at, service_name

_TYPE = "io.nats.micro.v1."


@dataclass(frozen=True, slots=True)
class EndpointStats:
    """Counters of an endpoint since its start. `processing_seconds` is the sum over all requests."""

    requests: int = 0
    errors: int = 0
    last_error: str = ""
    processing_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ServiceEndpoint:
    """A subject that a service answers, its queue group, and where its counters come from."""

    name: str
    subject: str
    queue: str = ""
    stats: Callable[[], EndpointStats] = field(default=EndpointStats)


@dataclass(frozen=True, slots=True)
class ServiceDescription:
    """What a service says about itself; its id is the instance's, its name `dimse-mesh-<service>`."""

    service: ServiceName
    version: str
    description: str
    endpoints: Sequence[ServiceEndpoint]


async def announce(mesh: Mesh, described: ServiceDescription) -> list[Subscription]:
    """Answer discovery for `described` until the subscriptions end; return them."""
    name = service_name(described.service)
    base: dict[str, Any] = {
        "name": name,
        "id": mesh.address.instance,
        "version": described.version,
        "metadata": {"zone": mesh.address.zone, "service": str(described.service)},
    }
    started = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    answers: dict[str, Callable[[], dict[str, Any]]] = {
        "PING": lambda: {**base, "type": f"{_TYPE}ping_response"},
        "INFO": lambda: {**base, "type": f"{_TYPE}info_response", **_info(described)},
        "STATS": lambda: {**base, "type": f"{_TYPE}stats_response", "started": started, **_stats(described)},
    }
    return [
        await mesh.subscribe(subject, partial(_reply, mesh, answer))
        for verb, answer in answers.items()
        for subject in described_at(described.service, mesh.address.instance, verb)
    ]


def _reply(mesh: Mesh, answer: Callable[[], dict[str, Any]], message: Message) -> None:
    # Nowhere else: a reply subject is whatever the asker likes, and we may publish where it may not.
    if message.reply.startswith(TOOLS_INBOX.removesuffix(">")):
        mesh.publish(message.reply, json.dumps(answer()).encode())


def _identity(endpoint: ServiceEndpoint) -> dict[str, Any]:
    return {"name": endpoint.name, "subject": endpoint.subject, "queue_group": endpoint.queue}


def _info(described: ServiceDescription) -> dict[str, Any]:
    return {
        "description": described.description,
        "endpoints": [{**_identity(endpoint), "metadata": {}} for endpoint in described.endpoints],
    }


def _stats(described: ServiceDescription) -> dict[str, Any]:
    endpoints = []
    for endpoint in described.endpoints:
        stats = endpoint.stats()
        spent = int(stats.processing_seconds * 1e9)
        endpoints.append(
            {
                **_identity(endpoint),
                "num_requests": stats.requests,
                "num_errors": stats.errors,
                "last_error": stats.last_error,
                "processing_time": spent,
                "average_processing_time": spent // stats.requests if stats.requests else 0,
                "data": {},
            }
        )
    return {"endpoints": endpoints}
