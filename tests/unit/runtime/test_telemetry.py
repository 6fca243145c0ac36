"""Spans: W3C context in and out, sampling, OTLP over real HTTP, nothing when off."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import anyio
import pytest

from dimse_mesh.runtime.counters import Counters
from dimse_mesh.runtime.settings_observability import ObservabilitySettings
from dimse_mesh.runtime.telemetry import Telemetry, is_traced, sampling_ratio
from dimse_mesh.runtime.tracing import parse_traceparent, traceparent_in
from dimse_mesh.schemas.service import ServiceName
from tests.support.otlp import Collector

SAMPLED = f"00-{'a' * 32}-{'b' * 16}-01"
UNSAMPLED = f"00-{'a' * 32}-{'b' * 16}-00"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        yield collector


def telemetry(environ: dict[str, str], ratio: float = 1.0) -> Telemetry:
    return Telemetry.from_settings(
        ObservabilitySettings(tracing_ratio=ratio),
        service=ServiceName.QUERY_RETRIEVE,
        zone="a",
        instance="i1",
        counters=Counters(),
        environ=environ,
    )


def test_a_hosted_handler_keeps_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator names every pod; what the endpoint of a pod hosts is another service."""
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "dimse-mesh-association")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        for hosted in (False, True):
            made = Telemetry.from_settings(
                ObservabilitySettings(tracing_ratio=1.0),
                service=ServiceName.STORE,
                zone="a",
                instance="i1",
                counters=Counters(),
                environ={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint},
                hosted=hosted,
            )
            made.end(made.start_span("store C-STORE", root=True))
            anyio.run(made.stop)
        names = [span.resource["service.name"] for span in collector.spans]
        assert names == ["dimse-mesh-association", "dimse-mesh-store"]
        assert {span.resource["deployment.environment.name"] for span in collector.spans} == {"test"}


def test_without_endpoint_nothing_is_traced() -> None:
    off = telemetry({})
    assert not off.tracing
    assert off.start_span("C-STORE", root=True) is None
    assert off.traceparent(None) is None
    off.end(None)


def test_spans_reach_the_collector_as_children_of_their_parent(collector: Collector) -> None:
    on = telemetry({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint})
    span = on.start_span("C-STORE", kind="server", parent=SAMPLED, attributes={"dicom.calling_ae": "X"})
    assert span is not None
    traceparent = on.traceparent(span)
    assert traceparent is not None
    assert parse_traceparent(traceparent) is not None
    on.end(span, "refused", {"dicom.status": "0x0124"})
    anyio.run(on.stop)
    (exported,) = collector.spans
    assert exported.resource["service.name"] == "dimse-mesh-query-retrieve"
    assert exported.resource["service.instance.id"] == "i1"
    assert exported.resource["dimse_mesh.zone"] == "a"
    assert exported.trace == "a" * 32
    assert exported.parent == "b" * 16
    assert exported.id == traceparent.split("-")[2]
    assert exported.attributes == {
        "dicom.calling_ae": "X",
        "dicom.status": "0x0124",
        "error.type": "refused",
    }
    assert (exported.error, exported.status_text) == (True, "refused")


@pytest.mark.parametrize(
    ("environ", "sampled"),
    [
        ({}, 0.25),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, 1.0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, 1.0),
        ({"OTEL_TRACES_SAMPLER": "always_off", "OTEL_TRACES_SAMPLER_ARG": "1"}, 0.0),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, 0.5),
        ({"OTEL_TRACES_SAMPLER_ARG": "0.75"}, 0.75),
        ({"OTEL_TRACES_SAMPLER_ARG": "7"}, 0.25),
        ({"OTEL_TRACES_SAMPLER_ARG": "many"}, 0.25),
    ],
)
def test_sampler_of_the_environment_wins(environ: dict[str, str], sampled: float) -> None:
    assert sampling_ratio(ObservabilitySettings(tracing_ratio=0.25), environ) == sampled


@pytest.mark.parametrize(
    ("environ", "traced"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_tracing_is_on_when_the_environment_says_where_to(environ: dict[str, str], traced: bool) -> None:
    assert is_traced(environ) is traced


def test_unsampled_parent_makes_no_span(collector: Collector) -> None:
    on = telemetry({"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint})
    assert on.start_span("C-STORE", parent=UNSAMPLED, root=True) is None
    assert on.start_span("C-STORE") is None
    anyio.run(on.stop)


def test_ratio_decides_roots_and_the_environment_wins(collector: Collector) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
    never = telemetry(environ, ratio=0.0)
    assert never.start_span("association", root=True) is None
    always = telemetry(environ | {"OTEL_TRACES_SAMPLER_ARG": "1"}, ratio=0.0)
    span = always.start_span("association", root=True)
    assert span is not None
    always.end(span)
    anyio.run(always.stop)
    anyio.run(never.stop)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"ff-{'a' * 32}-{'b' * 16}-01",
        f"00-{'0' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'0' * 16}-01",
        f"00-{'A' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'b' * 16}-01-extra",
        f"00-{'a' * 31}-{'b' * 17}-01",
    ],
)
def test_malformed_traceparent_is_ignored(text: str) -> None:
    assert parse_traceparent(text) is None


def test_traceparent_of_a_later_version_is_read() -> None:
    assert parse_traceparent(f"cc-{'a' * 32}-{'b' * 16}-01-what-the-future-brings") is not None


def test_a_traceparent_that_is_far_too_long_is_none() -> None:
    assert traceparent_in({"traceparent": "x" * 256}) == "x" * 256
    assert traceparent_in({"traceparent": "x" * 257}) is None


async def _stop_quickly(on: Telemetry) -> None:
    with anyio.fail_after(10):
        await on.stop(deadline=0.5)


def test_unreachable_collector_does_not_hold_up_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    on = telemetry({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    on.end(on.start_span("association", root=True))
    anyio.run(_stop_quickly, on)
    for thread in threading.enumerate():
        if thread.name == "span-flush":
            thread.join(60)  # or it would log when pytest has said its last word
