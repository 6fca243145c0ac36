"""docs/observability.md says what is exported, neither more nor less."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from dimse_mesh.runtime.routing import DimseService
from tests.interop.observability.observed import SERVICES, Observed
from tests.interop.observability.traffic import a_bit_of_everything
from tests.support.otlp import Span

PAGE = Path("docs/observability.md")
ENDPOINTS = {"association", "scu"}
GROUPS = {
    "all": set(SERVICES),
    "association, scu": ENDPOINTS,
    "association": {"association"},
    "scu": {"scu"},
    "handlers": set(SERVICES) - ENDPOINTS,
}
"""What the page calls the services that serve a metric."""


def table(first: str) -> list[list[str]]:
    """Return the rows of the table whose first column is called `first`, backquotes removed."""
    lines = iter(PAGE.read_text().splitlines())
    for line in lines:
        if line.startswith(f"| {first} |"):
            break
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
    return rows


@pytest.fixture(scope="module")
def at_work(watched: Observed) -> Observed:
    """The mesh, when everything has happened once."""
    a_bit_of_everything(watched)
    return watched


def served(watched: Observed) -> Iterator[tuple[str, Metric]]:
    for where in watched.ports:
        for family in text_string_to_metric_families(watched.exposition(where)):
            if family.name.startswith("dimse_mesh"):
                yield where.split("/")[1], family


def test_metrics_are_documented(at_work: Observed) -> None:
    by: dict[str, set[str]] = defaultdict(set)
    labels: dict[str, set[str]] = defaultdict(set)
    about: dict[str, tuple[str, str]] = {}
    for service, family in served(at_work):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        about[name] = (family.type, family.documentation)
        if family.samples:
            by[name].add(service)
        labels[name] |= {label for sample in family.samples for label in sample.labels} - {"le"}
    documented = table("metric")
    expected = [
        [name, about[name][0], ", ".join(sorted(labels[name])), about[name][1]] for name in sorted(about)
    ]
    should = "\n".join(f"| `{row[0]}` | {row[1]} | {row[2]} | ... | {row[3]} |" for row in expected)
    assert [[*row[:3], row[4]] for row in documented] == expected, f"the table should be:\n{should}"
    for name, *_, where, _ in documented:
        assert by[name] <= GROUPS[where], f"{name} is served by {by[name]}"


def test_spans_and_attributes_are_documented(at_work: Observed) -> None:
    spans = at_work.spans_of("TRAFFIC", 2 + 2 + 3 * 3 + 3 + 6)
    spans += at_work.spans_of("REFUSED", 4) + at_work.spans_of("UNREACHABLE", 2)
    seen = {(span_pattern(span), span.kind) for span in spans}
    assert seen == {(row[0], row[1]) for row in table("span")}
    assert {name for span in spans for name in span.attributes} == {row[0] for row in table("attribute")}


def span_pattern(span: Span) -> str:
    """Return a span's name as the page writes it."""
    head, _, last = span.name.rpartition(" ")
    if last not in set(DimseService):
        return span.name
    return "<handler> <DIMSE service>" if head else "<DIMSE service>"


def test_alerts_are_documented() -> None:
    (group,) = yaml.safe_load(Path("k8s/dashboards/alerts.yaml").read_text())["groups"]
    written = {rule["alert"]: rule["labels"]["severity"] for rule in group["rules"]}
    assert {row[0]: row[1] for row in table("alert")} == written
