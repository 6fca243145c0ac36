"""The operator's own HTTP: /livez, /readyz, /healthz, /metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST


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


@dataclass(slots=True)
class _Pages:
    health: Health
    metrics: OperatorMetrics
    before_metrics: Callable[[], None] = field(default=lambda: None)

    async def live(self, _: web.Request) -> web.Response:
        return web.Response(text="live\n")

    async def ready(self, _: web.Request) -> web.Response:
        return _verdict(self.health.ready(), "ready")

    async def healthy(self, _: web.Request) -> web.Response:
        return _verdict(self.health.healthy(), "healthy")

    async def samples(self, _: web.Request) -> web.Response:
        self.before_metrics()
        body = generate_latest(self.metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _verdict(complaints: list[str], word: str) -> web.Response:
    if complaints:
        return web.Response(status=503, text="".join(f"{line}\n" for line in complaints))
    return web.Response(text=f"{word}\n")


@asynccontextmanager
async def served(
    host: str, port: int, health: Health, metrics: OperatorMetrics, before_metrics: Callable[[], None]
) -> AsyncIterator[None]:
    """Serve for as long as the block lasts.

    Args:
        before_metrics: called before /metrics is answered, to set gauges.
    """
    pages = _Pages(health, metrics, before_metrics)
    application = web.Application()
    application.add_routes(
        [
            web.get("/livez", pages.live),
            web.get("/readyz", pages.ready),
            web.get("/healthz", pages.healthy),
            web.get("/metrics", pages.samples),
        ]
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()
