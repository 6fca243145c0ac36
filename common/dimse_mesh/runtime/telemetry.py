"""Traces and metrics of one process. The process builds them and passes them to its service; nothing is global.

Spans cost 20-40 us each when sampled, with their export. So: one per association and one per operation, never per
chunk.
`start_span` takes under a microsecond when tracing is off or the span isn't sampled.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import anyio.to_thread

from dimse_mesh.runtime.span import AttributeValue, RunningSpan, SpanKind
from dimse_mesh.runtime.tracing import Tracing, is_sampled, parse_traceparent

if TYPE_CHECKING:
    from dimse_mesh.runtime.counters import Counters
    from dimse_mesh.runtime.metrics import Metrics
    from dimse_mesh.runtime.settings_observability import ObservabilitySettings
    from dimse_mesh.schemas.service import ServiceName

NO_ATTRIBUTES: Mapping[str, AttributeValue] = MappingProxyType({})
ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Telemetry:
    """Spans over OTLP when an endpoint is set in the environment; metrics when health is served.

    Attributes:
        tracing: whether spans are made at all.
        metrics: the instruments, when they are on.
    """

    __slots__ = ("_ratio", "_tracing", "metrics", "tracing")

    def __init__(
        self, tracing: Tracing | None = None, metrics: Metrics | None = None, *, ratio: float = 1.0
    ) -> None:
        self._tracing = tracing
        self._ratio = ratio
        self.tracing = tracing is not None
        self.metrics = metrics

    @classmethod
    def from_settings(
        cls,
        settings: ObservabilitySettings,
        *,
        service: ServiceName,
        zone: str,
        instance: str,
        counters: Counters,
        environ: Mapping[str, str],
        hosted: bool = False,
    ) -> Telemetry:
        """Build the traces and metrics that the settings and the OTEL_ environment variables ask for.

        Args:
            hosted: the service is in the process of another one, which is what OTEL_SERVICE_NAME names.
        """
        traced = is_traced(environ)
        if not traced and settings.http is None:
            return cls()
        from importlib.metadata import version

        from opentelemetry.sdk.resources import OTELResourceDetector, Resource

        # The resource that the environment describes (OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES) wins.
        name = {"service.name": f"dimse-mesh-{service.value.replace('_', '-')}"}
        named = Resource(
            {
                **name,
                "service.namespace": "dimse-mesh",
                "service.version": version("dimse-mesh"),
                "service.instance.id": instance,
                "dimse_mesh.zone": zone,
            }
        )
        described = OTELResourceDetector().detect()
        resource = Resource.create().merge(named).merge(described)
        if hosted:
            resource = resource.merge(Resource(name))
        metrics: Metrics | None = None
        if settings.http is not None:
            from dimse_mesh.runtime.metrics import Metrics

            metrics = Metrics(counters, resource)
        tracing = Tracing(resource, environ) if traced else None
        return cls(tracing, metrics, ratio=sampling_ratio(settings, environ))

    def start_span(
        self,
        name: str,
        *,
        kind: SpanKind = "internal",
        parent: str | None = None,
        root: bool = False,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> RunningSpan | None:
        """Start a span, or return None when it wouldn't be recorded.

        Args:
            name: what is done, for example `C-STORE`; never an identifier.
            kind: the OpenTelemetry span kind.
            parent: a W3C traceparent; the span is its child and follows its sampling decision.
            root: start a trace, sampled by ratio, when there is no valid parent.
            attributes: codes, UIDs, AE titles, sizes; never data set values.
        """
        if self._tracing is None:
            return None
        if parent is not None:
            if not is_sampled(parent):
                return None
            context = parse_traceparent(parent)
            if context is not None:
                return self._tracing.start(name, kind=kind, parent=context, attributes=attributes)
        if not root or random.random() >= self._ratio:
            return None
        return self._tracing.start(name, kind=kind, parent=None, attributes=attributes)

    def traceparent(self, span: RunningSpan | None) -> str | None:
        """Return the W3C traceparent by which other spans become children of `span`."""
        return None if span is None else span.traceparent

    def end(
        self,
        span: RunningSpan | None,
        error_code: str | None = None,
        attributes: Mapping[str, AttributeValue] = NO_ATTRIBUTES,
    ) -> None:
        """End a span, if there is one; `attributes` come to those that it has."""
        if span is not None and self._tracing is not None:
            self._tracing.end(span, error_code, attributes)

    async def stop(self, deadline: float = 3.0) -> None:
        """Export the remaining spans, for at most `deadline` seconds."""
        if self.metrics is not None:
            self.metrics.shutdown()
        if self._tracing is None:
            return
        done = self._tracing.shutdown()
        await anyio.to_thread.run_sync(done.wait, deadline)


def is_traced(environ: Mapping[str, str]) -> bool:
    """Tell whether the environment says where spans go, and doesn't say that there should be none."""
    if (
        environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environ.get("OTEL_TRACES_EXPORTER") == "none"
    ):
        return False
    return any(environ.get(name) for name in ENDPOINT_VARIABLES)


def sampling_ratio(settings: ObservabilitySettings, environ: Mapping[str, str]) -> float:
    """Return the share of traces begun here that are sampled: the environment's, else the settings'."""
    match environ.get("OTEL_TRACES_SAMPLER", "").removeprefix("parentbased_"):
        case "always_on":
            return 1.0
        case "always_off":
            return 0.0
    try:
        ratio = float(environ["OTEL_TRACES_SAMPLER_ARG"])
    except (KeyError, ValueError):
        return settings.tracing_ratio
    return ratio if 0 <= ratio <= 1 else settings.tracing_ratio
