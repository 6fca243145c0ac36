"""A collector and a Jaeger on 127.0.0.1 with the configuration that we ship, and Jaeger's own query API.

Jaeger 2 is built on the OpenTelemetry Collector, so its program also runs the collector's configuration: one program to
build. With COLLECTOR set to another program, that one is the collector.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.gotool import go_program
from tests.support.ports import reserve_port
from tests.support.process import Child, wait_until

CONFIGURATION = Path("k8s/observability")
BUILD = Path("tests/interop/observability/jaeger/build.sh")
PATIENCE = 60.0
SPAN_KIND, ERROR = "span.kind", "error"


@dataclass(frozen=True, slots=True)
class Stored:
    """One span, as Jaeger's API tells it."""

    name: str
    service: str
    kind: str
    trace: str
    id: str
    parent: str
    """Id of the parent; empty: it is a root."""
    links: frozenset[str]
    """Ids of the traces that it is linked to."""
    tags: Mapping[str, Any]
    process: Mapping[str, Any]

    @property
    def where(self) -> str:
        """`<zone>/<service>`."""
        return f"{self.process['dimse_mesh.zone']}/{self.service.removeprefix('dimse-mesh-')}"


Tree = tuple[str, tuple["Tree", ...]]
"""`<zone>/<service> <kind> <name>`, and the trees of the children in the order of their text."""


def tree_of(spans: list[Stored]) -> Tree:
    """Return one trace as a tree.

    Raises:
        AssertionError: it hasn't exactly one root, or a span's parent isn't there.
    """
    roots = [span for span in spans if not span.parent]
    assert len(roots) == 1, [f"{span.where} {span.name}" for span in roots]
    assert {span.parent for span in spans if span.parent} <= {span.id for span in spans}

    def below(span: Stored) -> Tree:
        children = sorted(below(child) for child in spans if child.parent == span.id)
        return f"{span.where} {span.kind} {span.name}", tuple(children)

    return below(roots[0])


class Jaeger:
    """The query API of a running Jaeger."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **query: str) -> Any:
        """Return the answer to a question."""
        url = f"{self.url}/api/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)

    def traces(self, service: str, **tags: str) -> list[list[Stored]]:
        """Return the traces that have a span of `service` with these tags; `__` stands for a dot."""
        named = {name.replace("__", "."): value for name, value in tags.items()}
        found = self.ask("traces", service=service, tags=json.dumps(named), limit="100", lookback="1h")[
            "data"
        ]
        return [[_stored(span, trace["processes"]) for span in trace["spans"]] for trace in found or ()]

    def trace(self, trace_id: str) -> list[Stored]:
        """Return one trace; empty: there is none of that id."""
        try:
            (found,) = self.ask(f"traces/{trace_id}")["data"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return []
            raise
        return [_stored(span, found["processes"]) for span in found["spans"]]

    def wait_for_traces(
        self, enough: Callable[[list[list[Stored]]], bool], what: str, service: str, **tags: str
    ) -> list[list[Stored]]:
        """Return the traces of a service with these tags as soon as they are `enough`."""
        found: list[list[Stored]] = []

        def are_there() -> bool:
            found[:] = self.traces(service, **tags)
            return enough(found)

        wait_until(are_there, what, timeout=PATIENCE)
        return found


def _stored(span: Mapping[str, Any], processes: Mapping[str, Any]) -> Stored:
    tags = {tag["key"]: tag["value"] for tag in span["tags"]}
    process = processes[span["processID"]]
    parents = [one for one in span["references"] if one["refType"] == "CHILD_OF"]
    return Stored(
        name=span["operationName"],
        service=process["serviceName"],
        kind=str(tags.get(SPAN_KIND, "internal")),
        trace=span["traceID"],
        id=span["spanID"],
        parent=parents[0]["spanID"] if parents else "",
        links=frozenset(one["traceID"] for one in span["references"] if one["refType"] == "FOLLOWS_FROM"),
        tags=tags,
        process={tag["key"]: tag["value"] for tag in process["tags"]},
    )


def jaeger_program() -> str:
    """Return Jaeger's program, built if need be."""
    return go_program(BUILD)


def collector_program() -> str:
    """Return the program that runs the collector's configuration."""
    return os.environ.get("COLLECTOR") or jaeger_program()


@dataclass(frozen=True, slots=True)
class Tracing:
    """A collector and what stands behind it."""

    otlp: str
    """Where processes send their spans."""
    counted: int
    """Port where the collector says what it has counted of spans."""
    itself: int
    """Port where it says how it is."""
    jaeger: Jaeger


@contextmanager
def tracing(directory: Path, *, prometheus: str = "http://127.0.0.1:9") -> Iterator[Tracing]:
    """Run a Jaeger and a collector for the length of the block; only addresses differ from what we ship."""
    otlp, grpc, counted, itself, stored, query, more = (reserve_port() for _ in range(7))
    kept, asked, metrics = (reserve_port() for _ in range(3))
    jaeger = _configuration("jaeger")
    jaeger["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] = _at(stored)
    jaeger["extensions"]["jaeger_query"] |= {
        "http": {"endpoint": _at(query)},
        "grpc": {"endpoint": _at(asked)},
    }
    jaeger["extensions"]["jaeger_storage"]["metric_backends"]["counted"]["prometheus"]["endpoint"] = (
        prometheus
    )
    _own_ports(jaeger, health=kept, metrics=metrics)
    collector = _configuration("collector")
    collector["receivers"]["otlp"]["protocols"] = {
        "http": {"endpoint": _at(otlp)},
        "grpc": {"endpoint": _at(grpc)},
    }
    collector["exporters"]["otlp"]["endpoint"] = _at(stored)
    collector["exporters"]["prometheus"]["endpoint"] = _at(counted)
    collector["processors"]["batch"]["timeout"] = "100ms"
    collector["connectors"]["spanmetrics"]["metrics_flush_interval"] = "500ms"
    _own_ports(collector, health=more, metrics=itself)
    with (
        _running(directory, "jaeger", jaeger_program(), jaeger, health=kept),
        _running(directory, "collector", collector_program(), collector, health=more),
    ):
        yield Tracing(f"http://127.0.0.1:{otlp}", counted, itself, Jaeger(query))


def _configuration(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CONFIGURATION / f"{name}.yaml").read_text())
    return document


def _at(port: int) -> str:
    return f"127.0.0.1:{port}"


def _own_ports(config: dict[str, Any], *, health: int, metrics: int) -> None:
    config["extensions"]["healthcheckv2"]["http"]["endpoint"] = _at(health)
    (reader,) = config["service"]["telemetry"]["metrics"]["readers"]
    reader["pull"]["exporter"]["prometheus"] |= {"host": "127.0.0.1", "port": metrics}


@contextmanager
def _running(
    directory: Path, name: str, program: str, config: Mapping[str, Any], *, health: int
) -> Iterator[Child]:
    file = directory / f"{name}.yaml"
    file.write_text(yaml.safe_dump(dict(config)))
    with Child([program, f"--config={file}"], log=directory / f"{name}.log") as child:
        child.wait_for_port(health, timeout=PATIENCE)
        wait_until(lambda: _is_healthy(health), f"{name} is healthy", timeout=PATIENCE)
        yield child


def _is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=20):
            return True
    except urllib.error.URLError:
        return False
