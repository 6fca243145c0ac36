"""What a delivery service exports, and that docs/delivery.md says so."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.durable.site import ARCHIVE, Inbox, site, store
from tests.support.files import synthetic
from tests.support.otlp import Collector
from tests.support.ports import reserve_ports

SERVICES_BEFORE = 5
"""Instances of a zone whose ports come before the delivery service's."""


DELIVERY = ("dimse_mesh_queue", "dimse_mesh_delivery")


def families(port: int, *beginnings: str) -> dict[str, Metric]:
    """Return the metrics of durable delivery by the names that Prometheus stores."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        f"{family.name}_total" if family.type == "counter" else family.name: family
        for family in text_string_to_metric_families(text)
        if family.name.startswith(beginnings or DELIVERY)
    }


def value(port: int, name: str, **labels: str) -> float:
    """Return a sample; 0 if there is none."""
    wanted = {"source": "hospital", "destination": ARCHIVE, **labels}
    samples = families(port)[name].samples if name in families(port) else []
    return sum(sample.value for sample in samples if wanted.items() <= sample.labels.items())


def test_metrics_of_a_queue(tmp_path: Path) -> None:
    base = reserve_ports(SERVICES_BEFORE + 1)
    port = base + SERVICES_BEFORE
    inbox = Inbox()
    with site(tmp_path, cloud={"observability": {"http": {"host": "127.0.0.1", "port": base}}}) as where:
        with where.open() as client:
            for number in range(3):
                assert store(client, synthetic(number, 10_000)) == 0
        where.wait_until(lambda: value(port, "dimse_mesh_queue_objects") == 3, "three objects wait")
        where.wait_until(
            lambda: value(port, "dimse_mesh_delivery_attempts_total", cause="connection-refused") > 1,
            "attempts are counted",
        )
        assert value(port, "dimse_mesh_queue_oldest_seconds") > 0
        assert 0 < value(port, "dimse_mesh_queue_kept_bytes") < value(port, "dimse_mesh_queue_limit_bytes")
        with where.destination(inbox):
            inbox.wait_for(3)
            where.wait_until(lambda: value(port, "dimse_mesh_queue_objects") == 0, "nothing waits")
        assert value(port, "dimse_mesh_delivery_attempts_total", cause="delivered") == 3
        seen = {
            f"| `{name}` | {family.type} | "
            f"{', '.join(sorted({label for sample in family.samples for label in sample.labels}))} | "
            f"{family.documentation} |"
            for name, family in families(port).items()
        }
    page = Path("docs/delivery.md").read_text().splitlines()
    assert {line for line in page if line.startswith(tuple(f"| `{name}" for name in DELIVERY))} == seen


def test_a_delivery_is_in_the_trace_of_its_ingest(tmp_path: Path) -> None:
    inbox = Inbox()
    with Collector() as collector:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        with site(tmp_path, env=env) as where:
            with where.open() as client:
                assert store(client, synthetic(1, 10_000)) == 0
                client.release()
            with where.destination(inbox):
                inbox.wait_for(1)
                where.wait_until(
                    lambda: any(span.name == "deliver C-STORE" for span in collector.spans),
                    "the delivery is traced",
                )
    spans = collector.spans
    associations = {span.trace for span in spans if span.name == "association"}
    deliveries = [span for span in spans if span.name == "deliver C-STORE"]
    assert {span.trace for span in deliveries} <= associations
    assert {span.attributes["dicom.ae.remote"] for span in deliveries} == {ARCHIVE}
