"""What isn't sampled costs nothing; OTEL_ variables are heard; the trace context is W3C's on the wire."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tests.fault.archive import STORE
from tests.fault.clients import ask_find, ask_get
from tests.interop.observability.observed import FRONT_END, Observed, observed, operations
from tests.support.files import pattern
from tests.support.otlp import Span
from tests.support.tap import Tap, Tapped
from tests.support.wire import store_rq

ECHOES = 120


def some_of_everything(where: Observed, calling: str) -> None:
    """Echo, store, find and get on one association."""
    with where.open(calling) as client:
        assert client.echo() == 0
        for size in (1_000, 400_000):
            assert client.exchange(store_rq(1, "1.2.3", pattern(size), context_id=STORE)).status == 0
        client.received.clear()
        ask_find(client, 20)
        ask_get(client, 1, 100_000)
        client.release()


def traced(messages: Iterable[Tapped]) -> list[Tapped]:
    """Return the messages that carry a trace context, whatever its spelling."""
    return [message for message in messages if b"traceparent" in message.headers.lower()]


def kind(message: Tapped) -> str:
    """Return what a message is: the token of its subject before the sender's three."""
    return message.subject.rsplit(".", 4)[-4]


def test_unsampled_operations_have_no_headers_and_no_spans(tmp_path: Path) -> None:
    with observed(tmp_path, env={"OTEL_TRACES_SAMPLER": "always_off"}) as where:
        with Tap(where.mesh.nats_port) as tap:
            some_of_everything(where, "UNSAMPLED")
            carried = [m for m in tap.messages if kind(m) in {"link", "op", "data", "store"}]
        assert carried
        assert not traced(tap.messages)
        assert not any(message.headers for message in carried)
        assert where.mesh.stop() == 0
        assert where.collector.spans == []


def test_trace_context_travels_in_one_lower_case_header(watched: Observed) -> None:
    with Tap(watched.mesh.nats_port) as tap:
        some_of_everything(watched, "HEADERS")
    spans = watched.spans_of("HEADERS", 2 + 2 * 3 + 3 + 6 + 2)
    known = {span.trace.encode() for span in spans}
    carriers = [m for m in traced(tap.messages) if any(trace in m.headers for trace in known)]
    for message in carriers:
        version, line, *rest = message.headers.split(b"\r\n")
        assert version == b"NATS/1.0"
        assert line.startswith(b"traceparent: 00-")
        assert line.endswith((b"-01", b"-03"))  # sampled; with the flag of random trace ids
        assert rest == [b"", b""]
    kinds = Counter(kind(message) for message in carriers)
    assert kinds.pop("open") >= 1  # who is busy may be asked twice
    # A hop to the handler and one from it for five operations; an echo's one.
    assert kinds == {"store": 3, "query_retrieve": 2, "op": 5, "link": 1}


def test_ratio_and_resource_come_from_the_environment(tmp_path: Path) -> None:
    env = {
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.5",
        "OTEL_SERVICE_NAME": "mesh-of-mine",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,dimse_mesh.zone=there",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=radiology",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    }
    with observed(tmp_path, env=env) as where:
        with where.open("RATIO") as client:
            for _ in range(ECHOES):
                assert client.echo() == 0
            client.release()
        assert where.mesh.stop() == 0
        spans = where.collector.spans
        headers = where.collector.headers
    traces = operations(spans)
    assert ECHOES * 0.25 < len(traces) < ECHOES * 0.75
    assert {len(trace) for trace in traces.values()} == {2}, "a trace is sampled whole or not at all"
    assert all(resource(span) == ("mesh-of-mine", "test", "there") for span in spans)
    assert {one["x-tenant"] for one in headers} == {"radiology"}
    assert {one["Content-Encoding"] for one in headers} == {"gzip"}


def resource(span: Span) -> tuple[object, ...]:
    names = ("service.name", "deployment.environment.name", "dimse_mesh.zone")
    return tuple(span.resource.get(name) for name in names)


def test_processes_describe_themselves(watched: Observed) -> None:
    with watched.open("RESOURCE") as client:
        assert client.echo() == 0
        client.release()
    spans = watched.spans_of("RESOURCE", 4)
    front = next(span for span in spans if span.where == FRONT_END)
    assert front.resource["service.name"] == "dimse-mesh-association"
    assert front.resource["service.namespace"] == "dimse-mesh"
    assert front.resource["service.instance.id"]
    assert front.resource["service.version"]
    assert front.resource["telemetry.sdk.name"] == "opentelemetry"
