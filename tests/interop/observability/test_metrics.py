"""What each service serves at /metrics, as the Prometheus client reads it, after traffic of every kind."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dimse_mesh.operator.scaling import ASSOCIATIONS_METRIC, HANDLER_METRIC
from tests.fault.archive import STORE
from tests.fault.clients import ask_find, ask_get
from tests.interop.observability.observed import (
    ARCHIVE,
    DEAD,
    EXECUTOR,
    FRONT_END,
    NOBODY,
    READ_ONLY,
    Observed,
    Target,
    observed,
)
from tests.support.files import pattern
from tests.support.process import wait_until
from tests.support.scripted import Aborted, Client, Closed, Rejected
from tests.support.wire import fragments, pdu, store_rq

ENDPOINTS = (FRONT_END, EXECUTOR)
HANDLERS = ("hospital/store", "hospital/query-retrieve", "hospital/n-service")
LARGE = 2_000_000
KEPT = ("dimse_mesh_associations_remembered", "dimse_mesh_instances_watched")
"""1 while there is an association with an instance, 0 before and after."""
LABELS = {"result", "source", "reason", "code", "service", "side", "outcome", "decision", "ae_title", "le"}
METRIC = re.compile(r"dimse_mesh_[a-z0-9_]+")


class Difference:
    """How much a metric has grown since the object was made; a metric that isn't there counts as 0."""

    def __init__(self, watched: Observed, where: str) -> None:
        self._watched = watched
        self._where = where
        self._before = self._all()

    def _all(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        return {(s.name, frozenset(s.labels.items())): s.value for s in self._watched.samples(self._where)}

    def of(self, name: str, **labels: str) -> float:
        """Return the growth of the sum of all samples of that name with these labels."""
        wanted = labels.items()
        return sum(
            value - self._before.get((found, having), 0.0)
            for (found, having), value in self._all().items()
            if found == name and wanted <= dict(having).items()
        )


def test_every_process_serves_well_formed_metrics_of_its_own(watched: Observed) -> None:
    for where in watched.ports:
        text = watched.exposition(where)
        families = {family.name: family for family in text_string_to_metric_families(text)}
        (target,) = families["target_info"].samples
        zone, service = where.split("/")
        assert target.labels["dimse_mesh_zone"] == zone
        assert target.labels["service_name"] == f"dimse-mesh-{service}"
        assert families["process_resident_memory_bytes"].samples[0].value > 1 << 20
        assert families["process_open_fds"].samples[0].value > 3
        assert families["dimse_mesh_nats_connected"].samples[0].value == 1
        for name, family in families.items():
            if name.startswith("dimse_mesh"):
                assert family.type in {"counter", "gauge", "histogram"}, name
                assert family.documentation, name
                assert all(s.name.endswith("_total") == (family.type == "counter") for s in family.samples)


def test_associations_and_operations_are_counted_where_they_were_asked(watched: Observed) -> None:
    front, executor = (Difference(watched, where) for where in ENDPOINTS)
    handlers = [Difference(watched, where) for where in HANDLERS]
    with watched.open("M-OPS") as client:
        assert front.of("dimse_mesh_associations_open") == executor.of("dimse_mesh_associations_open") == 1
        assert client.echo() == 0
        assert client.exchange(store_rq(1, "1.2.3", pattern(LARGE), context_id=STORE)).status == 0
        assert client.exchange(store_rq(2, Target.BAD, b"", context_id=STORE)).status == Target.FAILURE
        client.received.clear()
        # Bytes of an association that stands count already.
        assert LARGE < front.of("dimse_mesh_dicom_received_bytes_total") < LARGE * 1.02
        ask_find(client, 300)
        ask_get(client, 2, 100_000)
        client.release()
    wait_until(lambda: executor.of("dimse_mesh_associations_open") == 0, "the executor's association to end")
    assert LARGE < front.of("dimse_mesh_dicom_received_bytes_total") < LARGE * 1.02
    assert LARGE < executor.of("dimse_mesh_dicom_sent_bytes_total") < LARGE * 1.02
    assert 200_000 < executor.of("dimse_mesh_dicom_received_bytes_total") < 300_000
    assert 200_000 < front.of("dimse_mesh_dicom_sent_bytes_total") < 300_000
    for difference in (front, executor):
        assert difference.of("dimse_mesh_associations_total") == 1
        assert difference.of("dimse_mesh_associations_ended_total", code="released") == 1
        assert difference.of("dimse_mesh_operations_in_flight") == 0
        assert difference.of("dimse_mesh_unacknowledged_bytes") == 0
        assert difference.of("dimse_mesh_undelivered_bytes") == 0
    counted = {
        service: front.of("dimse_mesh_operations_total", service=service, outcome="success")
        for service in ("C-ECHO", "C-STORE", "C-FIND", "C-GET")
    }
    assert counted == {"C-ECHO": 1, "C-STORE": 1, "C-FIND": 1, "C-GET": 1}
    assert front.of("dimse_mesh_operations_total", service="C-STORE", outcome="failure") == 1
    assert executor.of("dimse_mesh_operations_total") == 2, "the sub-operations, asked by the target"
    assert front.of("dimse_mesh_operation_duration_seconds_count", service="C-STORE") == 2
    assert front.of("dimse_mesh_operation_duration_seconds_bucket", service="C-STORE", le="+Inf") == 2
    assert 0 < front.of("dimse_mesh_operation_duration_seconds_sum", service="C-STORE") < 60
    store, query, normalized = handlers
    assert store.of("dimse_mesh_handler_operations_total", service="C-STORE", decision="approved") == 4
    assert query.of("dimse_mesh_handler_operations_total", decision="approved") == 2
    assert normalized.of("dimse_mesh_handler_operations_total") == 0
    assert executor.of("dimse_mesh_target_openings_total", ae_title=ARCHIVE, result="accepted") == 1


def test_operation_is_in_flight_until_it_is_answered(tmp_path: Path) -> None:
    with observed(tmp_path, more={"mesh": {"window": 262144}}) as where:
        with where.open("M-FLIGHT") as client:
            assert {where.value(end, name) for end in ENDPOINTS for name in KEPT} == {1}
            message = store_rq(1, "1.2.3", pattern(100_000), context_id=STORE)
            client.send_message(message, sizes=[16378])
            assert client.receive_message().status == 0
            client.received.clear()
            # Begun and not ended: in flight.
            parts = list(fragments(store_rq(2, "1.2.4", pattern(100_000), context_id=STORE), [16378]))
            client.send(b"".join(pdu(4, part) for part in parts[:-1]))
            wait_until(lambda: where.value(FRONT_END, "dimse_mesh_operations_in_flight") == 1, "an operation")
            client.send(pdu(4, parts[-1]))
            assert client.receive_message().status == 0
        wait_until(lambda: where.value(FRONT_END, "dimse_mesh_operations_in_flight") == 0, "its end")
        assert where.value(FRONT_END, "dimse_mesh_unacknowledged_limit_bytes") > 0
        wait_until(
            lambda: not any(where.value(end, name) for end in ENDPOINTS for name in KEPT), "all is forgotten"
        )


def test_rejections_are_counted_by_the_reason_that_the_peer_sees(watched: Observed) -> None:
    front, executor = (Difference(watched, where) for where in ENDPOINTS)
    for called in (NOBODY, DEAD):
        with pytest.raises(Rejected):
            watched.open("M-REJECT", called=called)
    name = "dimse_mesh_associations_rejected_total"
    unknown = {
        "result": "permanent",
        "source": "service_user",
        "reason": "called_ae_title_not_recognized",
    }
    busy = {
        "result": "transient",
        "source": "service_provider_presentation",
        "reason": "temporary_congestion",
    }
    assert front.of(name, **unknown) == 1
    assert front.of(name, **busy) == 1
    assert front.of("dimse_mesh_associations_total") == 0
    assert executor.of("dimse_mesh_target_openings_total", ae_title=DEAD, result="unreachable") == 1


def test_refusals_of_handlers_are_counted(watched: Observed) -> None:
    front, store = Difference(watched, FRONT_END), Difference(watched, "hospital/store")
    with watched.open("M-REFUSED", called=READ_ONLY) as client:
        assert client.exchange(store_rq(1, "1.2.3", b"", context_id=STORE)).status == 0x0124
        client.release()
    assert store.of("dimse_mesh_handler_operations_total", service="C-STORE", decision="not_authorized") == 1
    assert front.of("dimse_mesh_operations_total", service="C-STORE", outcome="failure") == 1


def test_mistakes_of_peers_are_counted_by_code(watched: Observed) -> None:
    front = Difference(watched, FRONT_END)
    with Client.connect(watched.entry) as client, pytest.raises((Aborted, Closed)):
        client.associate(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    with watched.open("M-ERROR") as client:
        client.send(pdu(4, bytes.fromhex("0000000b") + b"\x63\x03" + bytes(9)))
        with pytest.raises((Aborted, Closed)):
            client.receive_message()
    assert front.of("dimse_mesh_protocol_errors_total") == 2
    assert front.of("dimse_mesh_protocol_errors_total", code="unknown-context") == 1
    assert front.of("dimse_mesh_associations_ended_total", code="unknown-context") == 1


def test_client_that_vanishes_is_no_protocol_error_but_cuts_its_operation_off(watched: Observed) -> None:
    front, executor = (Difference(watched, where) for where in ENDPOINTS)
    with watched.open("M-GONE") as client:
        whole = store_rq(1, "1.2.3", pattern(500_000), context_id=STORE)
        client.send(pdu(4, next(fragments(whole, [16378]))))
        client.reset()
    name = "dimse_mesh_associations_ended_total"
    wait_until(lambda: front.of(name, code="transport-lost") == 1, "the front-end to notice")
    wait_until(lambda: executor.of(name, code="closed-by-other-side") == 1, "the executor to be told")
    assert front.of("dimse_mesh_protocol_errors_total") == 0


def test_labels_are_few_and_hold_nothing_that_a_peer_chose(watched: Observed) -> None:
    titles = [f"M-CARD-{number}" for number in range(8)]
    for calling in titles:
        with watched.open(calling) as client:
            assert client.echo() == 0
            client.release()
        with pytest.raises(Rejected):
            watched.open(calling, called=f"X-{calling}")
    for where in watched.ports:
        series: dict[str, int] = defaultdict(int)
        for sample in watched.samples(where):
            if not sample.name.startswith("dimse_mesh"):
                continue
            series[sample.name] += 1
            assert sample.labels.keys() <= LABELS
            for value in sample.labels.values():
                assert "M-CARD" not in value
                assert "1.2.8" not in value
        assert max(series.values()) <= 17 * 12
        assert all(METRIC.fullmatch(name) for name in series)


def test_autoscaling_reads_metrics_that_are_served(watched: Observed) -> None:
    with watched.open("M-SCALE") as client:
        assert client.exchange(store_rq(1, "1.2.3", b"", context_id=STORE)).status == 0
        client.release()
    for where in ENDPOINTS:
        assert ASSOCIATIONS_METRIC in {sample.name for sample in watched.samples(where)}
    served = {sample.name for sample in watched.samples("hospital/store")}
    assert HANDLER_METRIC in served
