"""W3C trace context (https://www.w3.org/TR/trace-context/#traceparent-header), and the exporter of spans.

OpenTelemetry is imported only by `Tracing`, so a process that doesn't trace pays nothing for it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import SpanContext

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


@dataclass(slots=True)
class RunningSpan:
    """A span from its start to its end: what `Tracing` hands out."""

    name: str
    kind: SpanKind
    context: SpanContext
    parent: SpanContext | None
    attributes: dict[str, AttributeValue]
    started: int
    """Nanoseconds since 1970."""

    @property
    def traceparent(self) -> str:
        """The W3C traceparent by which other spans become its children."""
        context = self.context
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


class Tracing:
    """Makes spans and exports them over OTLP/HTTP in the background.

    Its caller has decided what is sampled: a root by the ratio, a child as its parent. The SDK's own spans take three
    times as long to make, because they check each attribute and may be changed by several threads. A span here belongs
    to one thread, and goes to the SDK's batch processor when it has ended.
    """

    def __init__(self, resource: Resource, environ: Mapping[str, str]) -> None:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._make = ReadableSpan
        self._context = trace.SpanContext
        self._flags = trace.TraceFlags
        self._kinds = {
            "internal": trace.SpanKind.INTERNAL,
            "server": trace.SpanKind.SERVER,
            "client": trace.SpanKind.CLIENT,
            "producer": trace.SpanKind.PRODUCER,
            "consumer": trace.SpanKind.CONSUMER,
        }
        self._sampled = trace.TraceFlags(trace.TraceFlags.SAMPLED)
        self._unset = trace.Status(trace.StatusCode.UNSET)
        self._error = partial(trace.Status, trace.StatusCode.ERROR)
        self._scope = InstrumentationScope("dimse_mesh")
        self._resource = resource
        delay = None if environ.get("OTEL_BSP_SCHEDULE_DELAY") else EXPORT_MILLISECONDS
        self._processor = BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=delay)

    def start(
        self,
        name: str,
        *,
        kind: SpanKind,
        parent: tuple[int, int, int] | None,
        attributes: Mapping[str, AttributeValue] | None,
    ) -> RunningSpan:
        """Start a span, a root when `parent` is None."""
        span_id = random.getrandbits(64) or 1
        if parent is None:
            above, trace_id = None, random.getrandbits(128) or 1
        else:
            trace_id, parent_id, flags = parent
            above = self._context(trace_id, parent_id, is_remote=True, trace_flags=self._flags(flags))
        context = self._context(trace_id, span_id, is_remote=False, trace_flags=self._sampled)
        return RunningSpan(name, kind, context, above, dict(attributes or ()), time.time_ns())

    def end(
        self, span: RunningSpan, error_code: str | None, attributes: Mapping[str, AttributeValue]
    ) -> None:
        """End a span; `error_code` (a code, never a peer's text) makes it an error."""
        span.attributes.update(attributes)
        status = self._unset
        if error_code is not None:
            span.attributes["error.type"] = error_code
            status = self._error(error_code)
        ended = self._make(
            name=span.name,
            context=span.context,
            parent=span.parent,
            resource=self._resource,
            attributes=span.attributes,
            kind=self._kinds[span.kind],
            instrumentation_scope=self._scope,
            status=status,
            start_time=span.started,
            end_time=time.time_ns(),
        )
        self._processor.on_end(ended)

    def shutdown(self) -> threading.Event:
        """Export what is left in a daemon thread; the event is set when that is done."""
        done = threading.Event()

        def run() -> None:
            self._processor.shutdown()  # type: ignore[no-untyped-call] # the SDK's
            done.set()

        threading.Thread(target=run, name="span-flush", daemon=True).start()
        return done
