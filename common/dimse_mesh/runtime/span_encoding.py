"""A span as OTLP sends it, made of parts that the spans of one kind have in common.

The SDK makes objects for every attribute of every span, and copies them all into the span's: ten times the CPU. Here
opentelemetry-proto's own classes encode each part once, and most spans need one new part only. Encoded messages that
stand one after the other are one message with the fields of all: that is protobuf's rule (ADR 33).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, SpanFlags, Status

from dimse_mesh.runtime.span import AttributeValue, RunningSpan, SpanKind

_KINDS: Mapping[SpanKind, Span.SpanKind.ValueType] = {
    "internal": Span.SPAN_KIND_INTERNAL,
    "server": Span.SPAN_KIND_SERVER,
    "client": Span.SPAN_KIND_CLIENT,
    "producer": Span.SPAN_KIND_PRODUCER,
    "consumer": Span.SPAN_KIND_CONSUMER,
}
_CACHED = 2048
"""Parts of each sort that are kept."""


@lru_cache(_CACHED)
def _outline(name: str, kind: SpanKind, error_code: str | None, is_root: bool) -> bytes:
    """Return the part that says what was done, and whether it failed."""
    flags: int = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
    if not is_root:
        flags |= SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK  # our parents are spans of other processes
    status = Status()
    if error_code is not None:
        status = Status(code=Status.STATUS_CODE_ERROR, message=error_code)
    encoded: bytes = Span(name=name, kind=_KINDS[kind], status=status, flags=flags).SerializeToString()
    return encoded


@lru_cache(_CACHED, typed=True)
def _attribute(key: str, value: AttributeValue) -> bytes:
    match value:
        case bool():
            content = AnyValue(bool_value=value)
        case str():
            content = AnyValue(string_value=value.encode(errors="replace").decode())
        case int():
            content = AnyValue(int_value=value)
        case float():
            content = AnyValue(double_value=value)
    encoded: bytes = Span(attributes=[KeyValue(key=key, value=content)]).SerializeToString()
    return encoded


def encode_span(span: RunningSpan) -> bytes:
    """Return a span that has ended as an encoded `Span`."""
    own = Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_id or b"",
        start_time_unix_nano=span.started,
        end_time_unix_nano=span.ended,
    )
    outline = _outline(span.name, span.kind, span.error_code, span.parent_id is None)
    attributes = (_attribute(key, value) for key, value in span.attributes.items())
    return b"".join((own.SerializeToString(), outline, *attributes))


def encode_request(envelope: ResourceSpans, spans: Iterable[bytes]) -> bytes:
    """Return an encoded `ExportTraceServiceRequest` of spans that have one resource and one scope.

    Args:
        envelope: with the resource and the scope, and no spans.
        spans: as `encode_span` returns them.
    """
    request = ExportTraceServiceRequest(resource_spans=[envelope])
    into = request.resource_spans[0].scope_spans[0].spans
    for span in spans:
        into.add().MergeFromString(span)
    encoded: bytes = request.SerializeToString()
    return encoded
