"""The span tree of each DIMSE service, told by a real Jaeger; what collector and Prometheus make of the spans.

The configurations are those of k8s/observability, with other addresses.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.durable.site import Inbox, site
from tests.durable.site import store as deposit
from tests.fault.archive import FIND, GET_ROLES, STORE, Archive
from tests.fault.clients import ask_find, ask_get
from tests.fault.ledger import Ledger
from tests.fault.moves import MOVE_CONTEXT, VIEWER, Mover, ask_move
from tests.interop.observability.observed import (
    ALL_CONTEXTS,
    ARCHIVE,
    MPPS,
    N_ACTION,
    N_CREATE,
    SERVICES,
    STORAGE_COMMITMENT,
    ZONES,
    Target,
)
from tests.support.files import synthetic
from tests.support.jaeger import Jaeger, Stored, Tracing, Tree, tracing, tree_of
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.ports import reserve_port, reserve_ports
from tests.support.process import wait_until
from tests.support.prometheus import Prometheus, prometheus
from tests.support.scripted import Client, Server, ServerPeer
from tests.support.wire import (
    STUDY_ROOT_FIND,
    Command,
    Message,
    Status,
    Tag,
    cancel_rq,
    request,
    response,
    store_rq,
)

FRONT_END = "dimse-mesh-association"
ENDLESS = 4_000_000
SHIPPED = Path("deploy/compose/prometheus.yml")
ALERTS = Path("k8s/dashboards/alerts.yaml")
SOURCES = Path("k8s/observability/grafana/datasources.yaml")
DASHBOARD = Path("k8s/dashboards/traces.json")


class Cancellable(Target):
    """A target whose longest C-FIND ends only when it is cancelled."""

    def _answer(self, peer: ServerPeer, asked: Message) -> None:
        if asked.field == Command.C_FIND and asked.number(Tag.PRIORITY) == 1:
            peer.send_message(response(asked, Status.PENDING, data=b""))
            assert peer.receive_message().field == Command.C_CANCEL
            peer.send_message(response(asked, Status.CANCELLED))
        else:
            super()._answer(peer, asked)


@dataclass(frozen=True, slots=True)
class Stack:
    """A mesh of two zones, and everything that watches it."""

    mesh: Mesh
    tracing: Tracing
    prometheus: Prometheus

    @property
    def jaeger(self) -> Jaeger:
        """Where the traces are."""
        return self.tracing.jaeger

    def open(self, calling: str) -> Client:
        """Associate with the archive from the hospital."""
        return Client.open(
            self.mesh.listeners["hospital"],
            called=ARCHIVE,
            calling=calling,
            contexts=(*ALL_CONTEXTS, MOVE_CONTEXT),
            extra=GET_ROLES,
            timeout=60.0,
        )

    def operations(self, calling: str, spans: int, *, service: str = FRONT_END) -> list[list[Stored]]:
        """Return the traces of a client's operations as soon as they have so many spans altogether."""
        found = self.jaeger.wait_for_traces(
            lambda traces: sum(map(len, operations_in(traces))) >= spans,
            f"{spans} spans of {calling}",
            service,
            dicom__ae__calling=calling,
        )
        return operations_in(found)


def operations_in(traces: list[list[Stored]]) -> list[list[Stored]]:
    """Leave out the traces of associations."""
    return [trace for trace in traces if not any("association" in span.name for span in trace)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two zones, a target and a viewer, collector, Jaeger and Prometheus."""
    directory = tmp_path_factory.mktemp("stack")
    target, viewer, entry, other, scraper = (reserve_port() for _ in range(5))
    bases = {zone: reserve_ports(len(SERVICES)) for zone in ZONES}
    served = {
        "hospital": (entry, Ae(VIEWER, viewer, "hospital")),
        "cloud": (other, Ae(ARCHIVE, target, "cloud")),
    }
    configs = [
        zone_config(
            zone,
            listener=listener,
            remote_aes=[ae],
            more={"observability": {"http": {"host": "127.0.0.1", "port": bases[zone]}}},
        )
        for zone, (listener, ae) in served.items()
    ]
    archive = Cancellable(more={Command.C_MOVE: Mover(Ledger(), other)})
    with (
        tracing(directory, prometheus=f"http://127.0.0.1:{scraper}") as backend,
        Server(archive, port=target, timeout=120.0),
        Server(Archive(), port=viewer, timeout=120.0),
        prometheus(
            directory,
            _scraping(backend, bases),
            "--enable-feature=exemplar-storage",
            port=scraper,
        ) as server,
        Mesh.start(
            directory,
            configs,
            env={"OTEL_EXPORTER_OTLP_ENDPOINT": backend.otlp, "OTEL_BSP_SCHEDULE_DELAY": "100"},
        ) as mesh,
    ):
        yield Stack(mesh, backend, server)


def _scraping(backend: Tracing, bases: dict[str, int]) -> dict[str, Any]:
    """Return the configuration that we ship, with the addresses of this test."""
    config: dict[str, Any] = yaml.safe_load(SHIPPED.read_text())
    config["global"]["scrape_interval"] = "1s"
    config["rule_files"] = [str(ALERTS.absolute())]
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    for group in jobs["dimse-mesh"]["static_configs"]:
        base = bases[group["labels"]["zone"]]
        group["targets"] = [f"127.0.0.1:{base + index}" for index in range(len(SERVICES))]
    for name, port in (("spans", backend.counted), ("collector", backend.itself)):
        del jobs[name]["dns_sd_configs"]
        jobs[name]["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    config["scrape_configs"] = [jobs[name] for name in ("dimse-mesh", "spans", "collector")]
    return config


def path(service: str, handler: str, below: tuple[Tree, ...] = ()) -> Tree:
    """Return the tree of an operation that a client of the hospital asks for."""
    handled = f"hospital/{handler} consumer {handler.replace('-', '_')} {service}"
    return (
        f"hospital/association server {service}",
        ((handled, ((f"cloud/scu client {service}", below),)),),
    )


SUB_OPERATION: Tree = (
    "cloud/scu server C-STORE",
    (("hospital/store consumer store C-STORE", (("hospital/association client C-STORE", ()),)),),
)


def normalized(command: int, context_id: int, sop_class: str, **more: int | str) -> Message:
    """Return a request of a DIMSE-N service."""
    tags = {"affected": Tag.AFFECTED_SOP_INSTANCE, "requested": Tag.REQUESTED_SOP_INSTANCE, "action": 0x1008}
    named: dict[int, int | str | bytes] = {tags[name]: value for name, value in more.items()}
    return request(command, 1, sop_class, data=b"", context_id=context_id, more=named)


def ask(message: Message) -> Callable[[Client], None]:
    def exchange(client: Client) -> None:
        assert client.exchange(message).status == 0

    return exchange


def echo(client: Client) -> None:
    assert client.echo() == 0


def cancel(client: Client) -> None:
    more: dict[int, int | str | bytes] = {Tag.PRIORITY: 1}
    asked = request(Command.C_FIND, 9, STUDY_ROOT_FIND, data=b"", context_id=FIND, more=more)
    assert client.exchange(asked).status == Status.PENDING
    client.received.clear()
    client.send_message(Message(FIND, cancel_rq(9).command))
    assert client.receive_message().status == Status.CANCELLED


CASES: dict[str, tuple[Callable[[Client], None], list[Tree]]] = {
    "C-ECHO": (echo, [("hospital/association server C-ECHO", (("cloud/scu client C-ECHO", ()),))]),
    "C-STORE": (
        ask(store_rq(1, "1.2.3", bytes(300_000), context_id=STORE)),
        [path("C-STORE", "store")],
    ),
    "C-FIND": (lambda client: ask_find(client, 300), [path("C-FIND", "query-retrieve")]),
    "C-GET": (
        lambda client: ask_get(client, 2, 100_000),
        [path("C-GET", "query-retrieve", (SUB_OPERATION, SUB_OPERATION))],
    ),
    "C-MOVE": (lambda client: ask_move(client, 2, 10_000, uid="1.2.9"), [path("C-MOVE", "query-retrieve")]),
    "C-CANCEL": (cancel, [path("C-FIND", "query-retrieve")]),
    "N-CREATE": (
        ask(normalized(Command.N_CREATE, N_CREATE, MPPS, affected="1.2.3")),
        [path("N-CREATE", "n-service")],
    ),
    "N-SET": (
        ask(normalized(Command.N_SET, N_CREATE, MPPS, requested="1.2.3")),
        [path("N-SET", "n-service")],
    ),
    "N-GET": (
        ask(normalized(Command.N_GET, N_CREATE, MPPS, requested="1.2.3")),
        [path("N-GET", "n-service")],
    ),
    "N-DELETE": (
        ask(normalized(Command.N_DELETE, N_CREATE, MPPS, requested="1.2.3")),
        [path("N-DELETE", "n-service")],
    ),
}


@pytest.mark.parametrize("service", CASES)
def test_jaeger_shows_the_tree_of(stack: Stack, service: str) -> None:
    perform, trees = CASES[service]
    calling = f"J-{service}"
    with stack.open(calling) as client:
        perform(client)
        client.release()
    size = sum(map(spans_in, trees))
    assert sorted(map(tree_of, stack.operations(calling, size))) == trees


def spans_in(tree: Tree) -> int:
    return 1 + sum(map(spans_in, tree[1]))


def sub_operations_in(traces: list[list[Stored]]) -> list[list[Stored]]:
    """Return the traces of what was sent to the viewer."""
    return [
        trace
        for trace in operations_in(traces)
        if any(span.tags.get("dicom.ae.called") == VIEWER for span in trace)
    ]


def test_sub_operations_of_a_move_are_traced_where_the_target_calls_back(stack: Stack) -> None:
    before = len(sub_operations_in(stack.jaeger.traces(FRONT_END, dicom__ae__calling=ARCHIVE)))
    with stack.open("J-MOVER") as client:
        ask_move(client, 2, 10_000, uid="1.2.8")
        client.release()
    sub_operation: Tree = (
        "cloud/association server C-STORE",
        (("cloud/store consumer store C-STORE", (("hospital/scu client C-STORE", ()),)),),
    )

    def are_whole(traces: list[list[Stored]]) -> bool:
        found = sub_operations_in(traces)
        return len(found) >= before + 2 and all(len(trace) == spans_in(sub_operation) for trace in found)

    traces = stack.jaeger.wait_for_traces(
        are_whole, "whole traces of both", FRONT_END, dicom__ae__calling=ARCHIVE
    )
    assert {tree_of(trace) for trace in sub_operations_in(traces)} == {sub_operation}


def test_commitment_and_its_report_are_an_operation_each(stack: Stack) -> None:
    with stack.open("J-COMMITMENT") as client:
        instance = "1.2.840.10008.1.20.1.1"
        asked = normalized(Command.N_ACTION, N_ACTION, STORAGE_COMMITMENT, requested=instance, action=1)
        assert client.exchange(asked).status == 0
        report = client.receive_message()
        assert report.field == Command.N_EVENT_REPORT
        client.send_message(response(report))
        client.release()
    reported: Tree = (
        "cloud/scu server N-EVENT-REPORT",
        (
            (
                "hospital/n-service consumer n_service N-EVENT-REPORT",
                (("hospital/association client N-EVENT-REPORT", ()),),
            ),
        ),
    )
    action = path("N-ACTION", "n-service")
    traces = stack.operations("J-COMMITMENT", spans_in(action) + spans_in(reported))
    assert sorted(map(tree_of, traces)) == sorted([action, reported])


def test_delivery_of_a_durable_route_is_in_the_trace_of_its_ingest(stack: Stack, tmp_path: Path) -> None:
    inbox = Inbox()
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": stack.tracing.otlp, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with site(tmp_path, env=env) as where:
        with where.open(calling="J-DURABLE") as client:
            assert deposit(client, synthetic(1, 10_000)) == 0
            client.release()
        with where.destination(inbox):
            inbox.wait_for(1)
            delivered = "deliver C-STORE"
            traces = stack.jaeger.wait_for_traces(
                lambda traces: any(span.name == delivered for trace in traces for span in trace),
                "the delivery",
                FRONT_END,
                dicom__ae__calling="J-DURABLE",
            )
    (trace,) = [trace for trace in traces if any(span.name == delivered for span in trace)]
    root, below = tree_of(trace)
    assert root == "hospital/association server association"
    assert (f"cloud/delivery client {delivered}", ()) in below


def test_association_joins_the_traces_of_its_operations(stack: Stack) -> None:
    with stack.open("J-JOINED") as client:
        echo(client)
        client.release()
    (operation,) = stack.operations("J-JOINED", 2)
    (association,) = {span.tags["dicom.association"] for span in operation}
    found = stack.jaeger.wait_for_traces(
        lambda traces: any(span.name == "open association" for trace in traces for span in trace),
        "the association's own trace",
        FRONT_END,
        dicom__association=association,
    )
    opened: Tree = (
        "hospital/association server association",
        (("cloud/scu client open association", ()),),
    )
    assert opened in list(map(tree_of, found))


def test_every_service_calls_the_one_behind_it(stack: Stack) -> None:
    with stack.open("J-GRAPH") as client:
        assert client.exchange(store_rq(1, "1.2.3", b"", context_id=STORE)).status == 0
        client.release()
    stack.operations("J-GRAPH", 3)
    now = str(int(time.time() * 1000))
    edges = {
        (edge["parent"], edge["child"])
        for edge in stack.jaeger.ask("dependencies", endTs=now, lookback="3600000")["data"]
    }
    assert {(FRONT_END, "dimse-mesh-store"), ("dimse-mesh-store", "dimse-mesh-scu")} <= edges


@pytest.fixture(scope="module")
def busy(stack: Stack) -> Iterator[Stack]:
    """The stack while clients are at work, after Prometheus has seen it several times."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not stop.wait(0.2):
                with stack.open("J-BUSY") as client:
                    echo(client)
                    for uid in ("1.2.3", Target.BAD):
                        client.exchange(store_rq(1, uid, b"", context_id=STORE))
                    client.release()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        seen = 'min(count_over_time(traces_span_metrics_calls_total{dicom_ae_calling="J-BUSY"}[1m])) > 4'
        wait_until(lambda: bool(stack.prometheus.value(seen)), "Prometheus to count spans", timeout=60)
        yield stack
    finally:
        stop.set()
        worker.join(30)
    assert not failures, failures


def counted() -> dict[str, str]:
    """Return the expressions of the dashboard of traces by their panel."""
    model = json.loads(DASHBOARD.read_text())
    return {
        f"{panel['title']} ({target['refId']})": target["expr"]
        .replace("$__rate_interval", "15s")
        .replace("$zone", "hospital|cloud")
        for panel in model["panels"]
        for target in panel["targets"]
        if "expr" in target
    }


@pytest.mark.parametrize("place", counted())
def test_every_panel_shows_something(busy: Stack, place: str) -> None:
    found = busy.prometheus.value(counted()[place])
    assert found, f"{place} is empty: {counted()[place]}"
    assert any(float(series["value"][1]) >= 0 for series in found), "nothing but NaN"


def test_collector_counts_operations_by_service_title_and_status(busy: Stack) -> None:
    wanted = '{span_kind="SPAN_KIND_SERVER", dicom_ae_calling="J-BUSY", dimse_mesh_zone="hospital"}'
    by = "span_name, dicom_ae_called, rpc_response_status_code, status_code"
    found = busy.prometheus.value(f"sum by ({by}) (traces_span_metrics_calls_total{wanted})")
    named = {
        (one["span_name"], one["dicom_ae_called"], one["rpc_response_status_code"], one["status_code"])
        for one in (series["metric"] for series in found)
        if "rpc_response_status_code" in one
    }
    assert named == {
        ("C-ECHO", ARCHIVE, "0000", "STATUS_CODE_UNSET"),
        ("C-STORE", ARCHIVE, "0000", "STATUS_CODE_UNSET"),
        ("C-STORE", ARCHIVE, "A700", "STATUS_CODE_ERROR"),
    }


@pytest.mark.parametrize(
    "metric", ["dimse_mesh_operation_duration_seconds_bucket", "traces_span_metrics_duration_seconds_bucket"]
)
def test_exemplars_lead_from_prometheus_to_jaeger(busy: Stack, metric: str) -> None:
    found: list[str] = []

    def are_there() -> bool:
        now = time.time()
        data = busy.prometheus.ask("query_exemplars", query=metric, start=str(now - 600), end=str(now + 60))
        found[:] = [one["labels"]["trace_id"] for series in data for one in series["exemplars"]]
        return bool(found)

    wait_until(are_there, f"exemplars of {metric}", timeout=60)
    wait_until(lambda: bool(busy.jaeger.trace(found[-1])), "the trace of an exemplar", timeout=60)


def asked_by_grafana() -> dict[str, str]:
    """Return what Grafana asks Prometheus about a span, by the name of the query."""
    (source,) = [one for one in yaml.safe_load(SOURCES.read_text())["datasources"] if one["uid"] == "jaeger"]
    more = source["jsonData"]["tracesToMetrics"]
    (tag,) = more["tags"]
    label = f'{tag["value"]}="{ARCHIVE}"'
    return {query["name"]: query["query"].replace("$$__tags", label) for query in more["queries"]}


@pytest.mark.parametrize("name", asked_by_grafana())
def test_a_span_leads_to_the_metrics_of_its_ae(busy: Stack, name: str) -> None:
    assert busy.prometheus.value(asked_by_grafana()[name]), asked_by_grafana()[name]


def test_jaeger_shows_rate_errors_and_duration(busy: Stack) -> None:
    for kind, more in (("calls", {}), ("errors", {}), ("latencies", {"quantile": "0.95"})):
        answer = busy.jaeger.ask(
            f"metrics/{kind}",
            service=FRONT_END,
            spanKind="server",
            ratePer="60000",
            step="5000",
            lookback="600000",
            endTs=str(int(time.time() * 1000)),
            **more,
        )
        assert answer["metrics"], f"{kind}: {answer}"
