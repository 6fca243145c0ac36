"""The operator's own HTTP: /livez, /readyz, /healthz, /metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from dimse_mesh.runtime.health import HealthServer
from dimse_mesh.runtime.settings_observability import HttpSettings


@dataclass(frozen=True, slots=True)
class Health:
    """What the operator says of itself: each a list of complaints, empty when all is well."""

    ready: Callable[[], list[str]]
    healthy: Callable[[], list[str]]


class OperatorMetrics:
    """The operator's metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        prefix = "dimse_mesh_operator"
        self.requests = Counter(
            f"{prefix}_api_requests",
            "Requests to the API server",
            ["verb", "kind", "status"],
            registry=self.registry,
        )
        self.passes = Counter(
            f"{prefix}_reconciles",
            "Passes over one resource, by result",
            ["result"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            f"{prefix}_reconcile_seconds", "How long one pass takes", registry=self.registry
        )
        self.leader = Gauge(f"{prefix}_leader", "1 while this process is the leader", registry=self.registry)
        self.zones = Gauge(f"{prefix}_resources", "DimseProxies by phase", ["phase"], registry=self.registry)

    def count_request(self, verb: str, kind: str, status: int) -> None:
        """Count a request to the API server."""
        self.requests.labels(verb, kind, str(status)).inc()

    def count_pass(self, result: str, seconds: float) -> None:
        """Count a pass over one resource."""
        self.passes.labels(result).inc()
        self.seconds.observe(seconds)


@asynccontextmanager
async def served(
    host: str, port: int, health: Health, metrics: OperatorMetrics, before_metrics: Callable[[], None]
) -> AsyncIterator[None]:
    """Serve for as long as the block lasts, with the limits and deadlines that the services' own pages have.

    Args:
        before_metrics: called before /metrics is answered, to set gauges.

    Raises:
        StartError: the address can't be listened on.
    """

    def exposition(_: str) -> tuple[str, bytes]:
        before_metrics()
        return CONTENT_TYPE_LATEST, generate_latest(metrics.registry)

    server = HealthServer(
        HttpSettings(host=host, port=port),
        unready=lambda: _lines(health.ready()),
        exposition=exposition,
        pages={"/healthz": lambda: _lines(health.healthy())},
    )
    async with anyio.create_task_group() as tasks:
        await tasks.start(server.serve)
        yield
        tasks.cancel_scope.cancel()


def _lines(complaints: list[str]) -> str | None:
    return "\n".join(complaints) or None
