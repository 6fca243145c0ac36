"""Counters as OpenTelemetry instruments, in Prometheus' text format.

The registry belongs to the `Metrics` object: nothing is registered globally.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from dimse_mesh.runtime.counters import Counters

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """The instruments of one process over its `Counters`."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, counters: Counters, resource: Resource) -> None:
        self._registry = CollectorRegistry()
        self._provider = MeterProvider(
            metric_readers=[PrometheusMetricReader(registry=self._registry, scope_info_enabled=False)],
            resource=resource,
            shutdown_on_exit=False,
            views=[
                View(
                    instrument_name="dimse_mesh.operation.duration",
                    aggregation=ExplicitBucketHistogramAggregation(_SECONDS),
                )
            ],
        )
        meter = self._provider.get_meter("dimse_mesh")
        _observe(meter, counters)
        duration = meter.create_histogram(
            "dimse_mesh.operation.duration",
            unit="s",
            description="From a DIMSE request to its final response",
        )

        def record(service: str, seconds: float) -> None:
            duration.record(seconds, {"service": service})

        counters.record_duration = record

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def shutdown(self) -> None:
        """Unregister; the object is of no use afterwards."""
        self._provider.shutdown()


def _observe(meter: Meter, counters: Counters) -> None:
    def one(name: str) -> Iterator[Observation]:
        yield Observation(getattr(counters, name))

    def rejected(_: CallbackOptions) -> Iterable[Observation]:
        for (result, source, reason), count in counters.rejected.copy().items():
            yield Observation(count, {"result": result, "source": source, "reason": reason})

    def operations(_: CallbackOptions) -> Iterable[Observation]:
        for (service, outcome), count in counters.operations.copy().items():
            yield Observation(count, {"service": service, "outcome": outcome})

    def protocol_errors(_: CallbackOptions) -> Iterable[Observation]:
        for code, count in counters.protocol_errors.copy().items():
            yield Observation(count, {"code": code})

    meter.create_observable_up_down_counter(
        "dimse_mesh.associations.open",
        [lambda _: one("associations_open")],
        description="Associations that are open now",
    )
    meter.create_observable_counter(
        "dimse_mesh.associations", [lambda _: one("associations_total")], description="Associations accepted"
    )
    meter.create_observable_counter(
        "dimse_mesh.associations.rejected",
        [rejected],
        description="Associations rejected, by result, source and reason (PS3.8 9.3.4)",
    )
    meter.create_observable_counter(
        "dimse_mesh.operations", [operations], description="DIMSE operations finished, by service and outcome"
    )
    meter.create_observable_counter(
        "dimse_mesh.dicom.received",
        [lambda _: one("bytes_in")],
        unit="By",
        description="Bytes read from DICOM peers",
    )
    meter.create_observable_counter(
        "dimse_mesh.dicom.sent",
        [lambda _: one("bytes_out")],
        unit="By",
        description="Bytes written to DICOM peers",
    )
    meter.create_observable_counter(
        "dimse_mesh.protocol.errors", [protocol_errors], description="Peers' mistakes, by code"
    )
    meter.create_observable_counter(
        "dimse_mesh.retransmissions",
        [lambda _: one("retransmissions")],
        description="Segments sent again over the mesh",
    )
