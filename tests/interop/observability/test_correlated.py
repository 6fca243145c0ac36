"""From a metric to a trace (exemplars), and from a trace to the log lines of every process that it passed."""

from __future__ import annotations

import re

import pytest

from tests.fault.archive import STORE
from tests.interop.observability.observed import DEAD, FRONT_END, READ_ONLY, Observed, operations
from tests.support.exposition import open_metrics
from tests.support.otlp import Span
from tests.support.process import wait_until
from tests.support.scripted import Rejected
from tests.support.wire import store_rq


def lines_of(watched: Observed, trace: str) -> list[str]:
    """Return the log lines of a trace, in every process."""
    return [line for line in watched.mesh.log.read_text().splitlines() if f"trace_id={trace}" in line]


def event_in(line: str) -> str:
    found = re.search(r' event=("[^"]*"|\\S+)', line)
    assert found is not None, line
    return found[1].strip('"')


def root_of(spans: list[Span]) -> Span:
    (root,) = [span for span in spans if not span.parent]
    return root


def test_exemplar_of_a_duration_names_the_span_of_an_operation(watched: Observed) -> None:
    with watched.open("X-STORE") as client:
        assert client.exchange(store_rq(1, "1.2.3", b"", context_id=STORE)).status == 0
        client.release()
    (trace,) = operations(watched.spans_of("X-STORE", 3 + 2)).values()
    root = root_of(trace)
    examples = [
        sample.exemplar
        for sample in open_metrics(watched.ports[FRONT_END])
        if sample.name == "dimse_mesh_operation_duration_seconds_bucket"
        and sample.labels["service"] == "C-STORE"
        and sample.exemplar is not None
    ]
    assert {"trace_id": root.trace, "span_id": root.id} in [dict(example.labels) for example in examples]


def test_refusal_of_an_operation_is_logged_with_its_trace_by_handler_and_front_end(watched: Observed) -> None:
    with watched.open("X-REFUSED", called=READ_ONLY) as client:
        assert client.exchange(store_rq(1, "1.2.3", b"", context_id=STORE)).status == 0x0124
        client.release()
    (trace,) = operations(watched.spans_of("X-REFUSED", 2 + 2)).values()
    wait_until(lambda: len(lines_of(watched, trace[0].trace)) >= 2, "the lines of both processes")
    for where, kind, event in (
        ("store", "consumer", "refused C-STORE of X-REFUSED"),
        ("association", "server", "C-STORE of X-REFUSED"),
    ):
        (line,) = [one for one in lines_of(watched, trace[0].trace) if f"service={where}" in one]
        assert event_in(line).startswith(event)
        assert f"span_id={next(span.id for span in trace if span.kind == kind)}" in line


def test_association_that_fails_is_logged_with_its_trace_at_both_ends(watched: Observed) -> None:
    with pytest.raises(Rejected):
        watched.open("X-DEAD", called=DEAD)
    trace = root_of(watched.spans_of("X-DEAD", 2)).trace
    wait_until(lambda: len(lines_of(watched, trace)) >= 2, "the lines of both processes")
    events = {event_in(line) for line in lines_of(watched, trace)}
    assert any(event.startswith(f"target {DEAD}") for event in events), events
    assert any(event.startswith("rejected X-DEAD") for event in events), events
