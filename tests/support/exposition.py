"""What a process serves at /metrics."""

from __future__ import annotations

import urllib.request

from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def exposition(port: int, *, accept: str = "*/*") -> str:
    """Return what the process whose `observability.http` has that port serves."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def open_metrics(port: int) -> list[Sample]:
    """Return the samples that a process serves as OpenMetrics, which has exemplars."""
    return open_metrics_in(exposition(port, accept=OPEN_METRICS))


def open_metrics_in(text: str) -> list[Sample]:
    """Return the samples of an exposition in OpenMetrics."""
    families = openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # it has no types
    return [sample for family in families for sample in family.samples]


def samples_of(text: str) -> list[Sample]:
    """Return the samples of an exposition."""
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]
