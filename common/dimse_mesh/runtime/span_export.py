"""The SDK's batch processor and its OTLP/HTTP exporter, for spans that we encode (ADR 33).

The exporter's way to its collector (retries, compression, certificates, headers) is no part of its public interface:
hence opentelemetry-exporter-otlp-proto-http is pinned to one minor version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from dimse_mesh.runtime.span import RunningSpan
from dimse_mesh.runtime.span_encoding import encode_request, encode_span

MILLISECONDS = 3000
"""Between exports: one takes 5 to 8 ms of CPU, whatever it holds."""
BATCH = 1024
"""Spans that are exported at once, and without waiting for more."""
QUEUED = 4096
"""Spans that wait, at most: 5 MB."""

_SAMPLED = trace.SpanContext(1, 1, is_remote=False, trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED))


class EndedSpan(ReadableSpan):
    """What the batch processor takes for a span: all that it asks is whether it was sampled."""

    def __init__(self, span: RunningSpan) -> None:
        self.span = span

    @property
    def context(self) -> trace.SpanContext:
        """Of a span that was sampled."""
        return _SAMPLED


class EncodingExporter(OTLPSpanExporter):
    """Encodes spans of one resource and one scope, and sends them."""

    def __init__(self, resource: Resource, scope: InstrumentationScope) -> None:
        super().__init__()
        self._envelope = envelope_of(resource, scope)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans, each an `EndedSpan`."""
        encoded = [encode_span(ended.span) for ended in spans if isinstance(ended, EndedSpan)]
        result = self._client.export(encode_request(self._envelope, encoded))
        return SpanExportResult.SUCCESS if result.success else SpanExportResult.FAILURE


class SpanExport:
    """Exports spans in the background, some seconds after they have ended; those of a burst sooner.

    Args:
        resource: whose spans they are.
        scope: the name of what makes them.
        environ: may say how long spans wait for each other, and how many of them.
    """

    def __init__(self, resource: Resource, scope: str, environ: Mapping[str, str]) -> None:
        def unless(variable: str, usual: int) -> int | None:
            return None if environ.get(variable) else usual

        self._processor = BatchSpanProcessor(
            EncodingExporter(resource, InstrumentationScope(scope)),
            max_queue_size=unless("OTEL_BSP_MAX_QUEUE_SIZE", QUEUED),
            max_export_batch_size=unless("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH),
            schedule_delay_millis=unless("OTEL_BSP_SCHEDULE_DELAY", MILLISECONDS),
        )

    def take(self, span: RunningSpan) -> None:
        """Export a span that has ended, with the next ones."""
        self._processor.on_end(EndedSpan(span))

    def shutdown(self) -> None:
        """Export what is left, and wait for it."""
        self._processor.shutdown()  # type: ignore[no-untyped-call] # the SDK's


def envelope_of(resource: Resource, scope: InstrumentationScope) -> ResourceSpans:
    """Return what spans of a resource and a scope are sent in, without any."""
    request = encode_spans(
        [ReadableSpan(name="", context=_SAMPLED, resource=resource, instrumentation_scope=scope)]
    )
    envelope: ResourceSpans = request.resource_spans[0]
    envelope.scope_spans[0].ClearField("spans")
    return envelope
