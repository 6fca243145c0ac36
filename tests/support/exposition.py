"""What a process serves at /metrics."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def exposition(port: int) -> str:
    """Return what the process whose `observability.http` has that port serves."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def samples_of(text: str) -> list[Sample]:
    """Return the samples of an exposition."""
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]
