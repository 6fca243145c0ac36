"""A span that we encode is the one that the SDK's exporter would have sent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from dimse_mesh.runtime.span import AttributeValue, RunningSpan, SpanKind
from dimse_mesh.runtime.span_encoding import encode_request, encode_span
from dimse_mesh.runtime.span_export import envelope_of

RESOURCE = Resource({"service.name": "store", "process.command_args": ("a", "b")}, "https://schema.example")
SCOPE = InstrumentationScope("dimse_mesh", "1.0")
KINDS: dict[SpanKind, trace.SpanKind] = {
    "internal": trace.SpanKind.INTERNAL,
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
}
VALUES = st.text() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.booleans()
SAMPLED = trace.TraceFlags(trace.TraceFlags.SAMPLED)
TIMES = st.integers(0, 2**64 - 1)


@given(
    name=st.text(min_size=1),
    kind=st.sampled_from(sorted(KINDS)),
    trace_id=st.integers(1, 2**128 - 1),
    span_id=st.integers(1, 2**64 - 1),
    parent=st.none() | st.integers(1, 2**64 - 1),
    times=st.tuples(TIMES, TIMES),
    attributes=st.dictionaries(st.text(min_size=1), VALUES, max_size=12),
    error_code=st.none() | st.text(min_size=1),
)
def test_a_span_says_what_the_sdk_would_say_of_it(
    *,
    name: str,
    kind: SpanKind,
    trace_id: int,
    span_id: int,
    parent: int | None,
    times: tuple[int, int],
    attributes: dict[str, AttributeValue],
    error_code: str | None,
) -> None:
    ours = encode_span(
        RunningSpan(
            name,
            kind,
            trace_id.to_bytes(16, "big"),
            span_id.to_bytes(8, "big"),
            None if parent is None else parent.to_bytes(8, "big"),
            attributes,
            *times,
            error_code,
        )
    )
    unset = trace.Status(trace.StatusCode.UNSET)
    theirs = ReadableSpan(
        name=name,
        context=trace.SpanContext(trace_id, span_id, is_remote=False, trace_flags=SAMPLED),
        parent=None
        if parent is None
        else trace.SpanContext(trace_id, parent, is_remote=True, trace_flags=SAMPLED),
        resource=RESOURCE,
        attributes=attributes,
        kind=KINDS[kind],
        instrumentation_scope=SCOPE,
        status=unset if error_code is None else trace.Status(trace.StatusCode.ERROR, error_code),
        start_time=times[0],
        end_time=times[1],
    )
    request = encode_request(envelope_of(RESOURCE, SCOPE), (ours, ours))
    assert ExportTraceServiceRequest.FromString(request) == encode_spans((theirs, theirs))


def test_text_that_is_none_in_utf8_loses_no_span() -> None:
    span = RunningSpan(
        "C-STORE", "server", bytes(16), bytes(8), None, {"dicom.ae.calling": "A\udcff"}, started=0, ended=1
    )
    encoded = encode_span(span)
    request = ExportTraceServiceRequest.FromString(encode_request(envelope_of(RESOURCE, SCOPE), (encoded,)))
    (exported,) = request.resource_spans[0].scope_spans[0].spans
    assert exported.attributes[0].value.string_value == "A?"
