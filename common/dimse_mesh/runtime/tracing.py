"""W3C trace context (https://www.w3.org/TR/trace-context/#traceparent-header), and the exporter of spans.

OpenTelemetry is imported only by `Tracing`, so a process that doesn't trace pays nothing for it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import Span

SpanKind = Literal["internal", "server", "client", "producer", "consumer"]
AttributeValue = str | int | float | bool

EXPORT_MILLISECONDS = 1000
"""Between exports, unless OTEL_BSP_SCHEDULE_DELAY says otherwise."""
_HEADER = "traceparent"
_TRACEPARENT_LENGTH = 55
_HEX = frozenset("0123456789abcdef")


def trace_headers(traceparent: str | None) -> dict[str, str] | None:
    """Return the message headers that carry a traceparent; None: there is none, and so no headers."""
    return {_HEADER: traceparent} if traceparent is not None else None


def traceparent_in(headers: Mapping[str, str] | None) -> str | None:
    """Return the traceparent that a message's headers carry."""
    return headers.get(_HEADER) if headers else None


def is_sampled(traceparent: str) -> bool:
    """Tell whether a traceparent's `sampled` flag is set; cheap, and False for what isn't one."""
    return len(traceparent) >= _TRACEPARENT_LENGTH and traceparent[54] in "13579bdf"


def parse_traceparent(text: str) -> tuple[int, int, int] | None:
    """Return (trace id, span id, flags), or None when `text` is no valid traceparent."""
    parts = text.split("-")
    if len(parts) < 4 or (parts[0] == "00" and len(parts) > 4) or parts[0] == "ff":
        return None
    lengths = tuple(len(part) for part in parts[:4])
    if lengths != (2, 32, 16, 2) or any(not _HEX.issuperset(part) for part in parts[:4]):
        return None
    trace_id, span_id = int(parts[1], 16), int(parts[2], 16)
    if not trace_id or not span_id:
        return None
    return trace_id, span_id, int(parts[3], 16)


class Tracing:
    """Makes spans and exports them over OTLP/HTTP in the background.

    Its caller has decided what is sampled: a root by the ratio, a child as its parent.
    """

    def __init__(self, resource: Resource, environ: Mapping[str, str]) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        self._trace = trace
        self._no_context = Context()
        self._kinds = {
            "internal": trace.SpanKind.INTERNAL,
            "server": trace.SpanKind.SERVER,
            "client": trace.SpanKind.CLIENT,
            "producer": trace.SpanKind.PRODUCER,
            "consumer": trace.SpanKind.CONSUMER,
        }
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        delay = None if environ.get("OTEL_BSP_SCHEDULE_DELAY") else EXPORT_MILLISECONDS
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=delay))
        self._tracer = self._provider.get_tracer("dimse_mesh")

    def start(
        self,
        name: str,
        *,
        kind: SpanKind,
        parent: tuple[int, int, int] | None,
        attributes: Mapping[str, AttributeValue] | None,
    ) -> Span | None:
        """Start a span, a root when `parent` is None; None when it isn't sampled."""
        trace = self._trace
        context = self._no_context
        if parent is not None:
            trace_id, span_id, flags = parent
            remote = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags(flags))
            context = trace.set_span_in_context(trace.NonRecordingSpan(remote), context)
        span = self._tracer.start_span(name, context=context, kind=self._kinds[kind], attributes=attributes)
        return span if span.is_recording() else None

    def end(self, span: Span, error_code: str | None, attributes: Mapping[str, AttributeValue]) -> None:
        """End a span; `error_code` (a code, never a peer's text) makes it an error."""
        if attributes:
            span.set_attributes(attributes)
        if error_code is not None:
            span.set_attribute("error.type", error_code)
            span.set_status(self._trace.StatusCode.ERROR, error_code)
        span.end()

    def shutdown(self) -> threading.Event:
        """Export what is left in a daemon thread; the event is set when that is done."""
        done = threading.Event()

        def run() -> None:
            self._provider.shutdown()
            done.set()

        threading.Thread(target=run, name="span-flush", daemon=True).start()
        return done
