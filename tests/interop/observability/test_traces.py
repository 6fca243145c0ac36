"""One trace for each operation and each association, across front-end, handler and executor."""

from __future__ import annotations

import pytest

from tests.fault.archive import CONTEXTS, STORE
from tests.fault.clients import ask_find, ask_get
from tests.interop.observability.observed import (
    ARCHIVE,
    DEAD,
    EXECUTOR,
    FRONT_END,
    MPPS,
    N_ACTION,
    N_CREATE,
    READ_ONLY,
    STORAGE_COMMITMENT,
    Observed,
    Target,
    of_client,
    operations,
)
from tests.support.files import pattern
from tests.support.otlp import Span
from tests.support.scripted import Client, Rejected
from tests.support.wire import (
    CT_STORAGE,
    VERIFICATION,
    Command,
    Context,
    Message,
    Tag,
    request,
    response,
    store_rq,
)

SMALL, LARGE = 2_000, 3_000_000
ECHO, WAY = 2, 3
"""Spans of a C-ECHO, which has no handler, and of any other operation."""
ASSOCIATION = 2
"""Spans of an association: the front-end's, and the executor's of opening it."""


def one_operation(watched: Observed, calling: str, count: int) -> list[Span]:
    """Return the spans of the one operation that a client has asked for, by start."""
    spans = watched.spans_of(calling, count + ASSOCIATION)
    (trace,) = operations(spans).values()
    assert len(trace) == count
    return sorted(trace, key=lambda span: span.start)


def assert_path(trace: list[Span], service: str, handler: str | None, *, parent: str = "") -> None:
    """Check source, handler and sink of an operation that the client asks for."""
    root = next(span for span in trace if span.kind == "server")
    last = next(span for span in trace if span.kind == "client")
    assert (root.name, root.where, root.parent) == (service, FRONT_END, parent)
    above = root.id
    if handler is not None:
        middle = next(span for span in trace if span.kind == "consumer")
        assert (middle.name, middle.where) == (
            f"{handler} {service}",
            f"hospital/{handler.replace('_', '-')}",
        )
        assert middle.parent == root.id
        above = middle.id
    assert (last.name, last.where, last.parent) == (service, EXECUTOR, above)
    for span in trace:
        assert span.attributes["rpc.system.name"] == "dicom"
        assert span.attributes["rpc.method"] == service
        assert span.attributes["dicom.association"] == root.attributes["dicom.association"]
        assert span.events == 0
        assert root.start <= span.start
    for end in (root, last):
        assert end.attributes["rpc.response.status_code"] == "0000"
        assert not end.error


def send_echo(client: Client) -> None:
    assert client.echo() == 0


def send_store(size: int) -> Message:
    return store_rq(1, "1.2.3.4", pattern(size), context_id=STORE)


def test_echo_goes_straight_from_front_end_to_executor(watched: Observed) -> None:
    with watched.open("T-ECHO") as client:
        send_echo(client)
        client.release()
    trace = one_operation(watched, "T-ECHO", ECHO)
    assert_path(trace, "C-ECHO", None)
    root = trace[0]
    assert root.attributes["dicom.ae.called"] == ARCHIVE
    assert root.attributes["dicom.sop_class_uid"] == VERIFICATION


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_store_is_three_spans_whatever_its_size(watched: Observed, size: int) -> None:
    calling = f"T-STORE-{size}"
    message = send_store(size)
    with watched.open(calling) as client:
        assert client.exchange(message).status == 0
        client.release()
    trace = one_operation(watched, calling, WAY)
    assert_path(trace, "C-STORE", "store")
    assert trace[0].attributes["dicom.sop_class_uid"] == CT_STORAGE
    assert trace[0].attributes["dicom.message.size"] == len(message.command) + size


def test_find_with_pending_responses_is_three_spans(watched: Observed) -> None:
    with watched.open("T-FIND") as client:
        ask_find(client, 500)
        client.release()
    assert_path(one_operation(watched, "T-FIND", WAY), "C-FIND", "query_retrieve")


def test_sub_operations_of_the_target_are_part_of_the_get(watched: Observed) -> None:
    with watched.open("T-GET") as client:
        ask_get(client, 2, 200_000)
        client.release()
    trace = one_operation(watched, "T-GET", 3 * WAY)
    get = [span for span in trace if span.attributes["rpc.method"] == "C-GET"]
    assert_path(get, "C-GET", "query_retrieve")
    performed = next(span for span in get if span.kind == "client")
    stores = [span for span in trace if span not in get]
    asked = [span for span in stores if span.kind == "server"]
    assert len(asked) == 2
    for source in asked:
        assert (source.name, source.where, source.parent) == ("C-STORE", EXECUTOR, performed.id)
        (handled,) = [span for span in stores if span.parent == source.id]
        assert (handled.kind, handled.where) == ("consumer", "hospital/store")
        (sink,) = [span for span in stores if span.parent == handled.id]
        assert (sink.kind, sink.where) == ("client", FRONT_END)
        assert sink.attributes["rpc.response.status_code"] == "0000"


def test_normalized_operations_of_client_and_target(watched: Observed) -> None:
    with watched.open("T-N") as client:
        create = request(
            Command.N_CREATE,
            1,
            MPPS,
            data=b"",
            context_id=N_CREATE,
            more={Tag.AFFECTED_SOP_INSTANCE: "1.2.3"},
        )
        assert client.exchange(create).status == 0
        more: dict[int, int | str | bytes] = {Tag.REQUESTED_SOP_INSTANCE: "1.2.840.10008.1.20.1.1"}
        action = request(
            Command.N_ACTION, 2, STORAGE_COMMITMENT, data=b"", context_id=N_ACTION, more={**more, 0x1008: 1}
        )
        assert client.exchange(action).status == 0
        report = client.receive_message()
        assert report.field == Command.N_EVENT_REPORT
        client.send_message(response(report))
        client.release()
    traces = {
        trace[0].attributes["rpc.method"]: trace
        for trace in operations(watched.spans_of("T-N", 3 * WAY + ASSOCIATION)).values()
    }
    assert traces.keys() == {"N-CREATE", "N-ACTION", "N-EVENT-REPORT"}
    assert_path(traces["N-CREATE"], "N-CREATE", "n_service")
    assert_path(traces["N-ACTION"], "N-ACTION", "n_service")
    places = {span.kind: span.where for span in traces["N-EVENT-REPORT"]}
    assert places == {"server": EXECUTOR, "consumer": "hospital/n-service", "client": FRONT_END}


def test_failure_of_the_target_is_an_error_at_both_ends(watched: Observed) -> None:
    with watched.open("T-FAIL") as client:
        bad = store_rq(1, Target.BAD, b"\0\0", context_id=STORE)
        assert client.exchange(bad).status == Target.FAILURE
        client.release()
    for span in one_operation(watched, "T-FAIL", WAY):
        assert span.error == (span.kind != "consumer")
        if span.error:
            assert span.attributes["error.type"] == span.attributes["rpc.response.status_code"] == "A700"


def test_refusal_by_policy_never_reaches_the_executor(watched: Observed) -> None:
    with watched.open("T-REFUSED", called=READ_ONLY) as client:
        assert client.exchange(send_store(SMALL)).status == 0x0124
        client.release()
    asked, handled = one_operation(watched, "T-REFUSED", 2)
    assert (asked.where, asked.error, asked.attributes["error.type"]) == (FRONT_END, True, "not_authorized")
    assert (handled.where, handled.parent) == ("hospital/store", asked.id)
    assert handled.attributes["error.type"] == "not_authorized"


def test_association_has_a_span_from_request_to_release(watched: Observed) -> None:
    with watched.open("T-ASSOC") as client:
        send_echo(client)
        client.release()
    spans = watched.spans_of("T-ASSOC", ECHO + ASSOCIATION)
    whole, opening = sorted((s for s in spans if "association" in s.name), key=lambda span: span.start)
    assert (whole.name, whole.kind, whole.where, whole.parent) == ("association", "server", FRONT_END, "")
    assert (opening.name, opening.kind, opening.where) == ("open association", "client", EXECUTOR)
    assert opening.parent == whole.id
    assert opening.attributes["dicom.ae.remote"] == ARCHIVE
    operation = next(span for span in spans if span.name == "C-ECHO" and span.kind == "server")
    assert operation.attributes["dicom.association"] == whole.attributes["dicom.association"]
    assert whole.start <= operation.start <= operation.end <= whole.end
    assert not whole.error
    assert not opening.error


def test_association_that_fails_says_why(watched: Observed) -> None:
    with pytest.raises(Rejected):
        watched.open("T-DEAD", called=DEAD)
    whole, opening = sorted(watched.spans_of("T-DEAD", ASSOCIATION), key=lambda span: span.start)
    assert (whole.error, whole.attributes["error.type"]) == (True, "target-unreachable")
    assert (opening.error, opening.attributes["error.type"]) == (True, "unreachable")


def test_client_that_vanishes_ends_its_spans_with_an_error(watched: Observed) -> None:
    with watched.open("T-GONE") as client:
        send_echo(client)
        client.reset()
    spans = watched.spans_of("T-GONE", ECHO + ASSOCIATION)
    whole = next(span for span in spans if span.name == "association")
    assert whole.attributes["error.type"] == "transport-lost"


def test_there_is_one_span_for_each_operation_and_none_for_chunks(watched: Observed) -> None:
    stores, echoes = 20, 20
    with watched.open("T-COUNT") as client:
        for number in range(1, stores + 1):
            message = store_rq(number, f"1.2.3.{number}", pattern(150_000), context_id=STORE)
            assert client.exchange(message).status == 0
        for _ in range(echoes):
            send_echo(client)
        client.release()
    expected = stores * WAY + echoes * ECHO + ASSOCIATION
    watched.spans_of("T-COUNT", expected)
    # What comes from a process comes in order: once a later client's spans are here, all of the earlier ones' are.
    with watched.open("T-COUNT-END") as client:
        assert client.exchange(send_store(SMALL)).status == 0
        client.release()
    watched.spans_of("T-COUNT-END", WAY + ASSOCIATION)
    assert len(of_client(watched.collector.spans, "T-COUNT")) == expected


def test_sop_class_that_is_no_uid_is_not_quoted(watched: Observed) -> None:
    with Client.open(
        watched.entry, called=ARCHIVE, calling="T-UID", contexts=[*CONTEXTS, Context(13, "1.2.3")]
    ) as client:
        named = request(Command.C_ECHO, 1, "DOE^JANE", context_id=1)
        assert client.exchange(named).status == 0
        client.release()
    for span in one_operation(watched, "T-UID", ECHO):
        assert span.attributes["dicom.sop_class_uid"] == "invalid"
