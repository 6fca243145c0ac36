"""Counters as OpenTelemetry instruments, in Prometheus' text format.

The registry belongs to the `Metrics` object; nothing is registered globally. A scrape reads the values; the hot path
only adds to `Counters`. docs/observability.md lists the metrics.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from dimse_mesh.runtime.counters import SECONDS, Counters, Durations, Held, Load, TracedDuration
from dimse_mesh.runtime.instrument import Instrument, Values
from dimse_mesh.runtime.metrics_audit import AUDIT_INSTRUMENTS
from dimse_mesh.runtime.metrics_durable import DURABLE_INSTRUMENTS
from dimse_mesh.upper_layer.reasons import REJECT_REASONS, RejectResult, RejectSource

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

DURATION = "dimse_mesh_operation_duration_seconds"
OTHER = "other"
"""Label of values that the standard doesn't name."""

_NO_LABELS: Mapping[str, str] = {}


def _number(read: Callable[[Counters], float]) -> Callable[[Counters, Load | None], Values]:
    return lambda counters, _: [(read(counters), _NO_LABELS)]


def _load(read: Callable[[Load], float]) -> Callable[[Counters, Load | None], Values]:
    """Read a number that only endpoints have."""
    return lambda _, load: [] if load is None else [(read(load), _NO_LABELS)]


def _held(read: Callable[[Held], float]) -> Callable[[Counters, Load | None], Values]:
    return lambda counters, _: [] if counters.held is None else [(read(counters.held()), _NO_LABELS)]


def _by_code(read: Callable[[Counters], dict[str, int]]) -> Callable[[Counters, Load | None], Values]:
    return lambda counters, _: [(count, {"code": code}) for code, count in read(counters).items()]


def _pairs(
    first: str, second: str, read: Callable[[Counters], dict[tuple[str, str], int]]
) -> Callable[[Counters, Load | None], Values]:
    return lambda counters, _: [
        (count, {first: one, second: two}) for (one, two), count in read(counters).items()
    ]


def _rejected(counters: Counters, _: Load | None) -> Values:
    named: Tally[tuple[str, str, str]] = Tally()
    for key, count in counters.rejected.items():
        named[reject_names(*key)] += count
    return [
        (count, {"result": result, "source": source, "reason": reason})
        for (result, source, reason), count in named.items()
    ]


def _bytes(
    ended: Callable[[Counters], int], live: Callable[[Load], int]
) -> Callable[[Counters, Load | None], Values]:
    return lambda counters, load: [] if load is None else [(ended(counters) + live(load), _NO_LABELS)]


def _connected(counters: Counters, _: Load | None) -> Values:
    connected = counters.mesh_connected
    return [(1 if connected is not None and connected() else 0, _NO_LABELS)]


def reject_names(result: int, source: int, reason: int) -> tuple[str, str, str]:
    """Return the standard's names of an A-ASSOCIATE-RJ's fields, `other` for what it doesn't name (PS3.8 §9.3.4)."""
    try:
        known = RejectSource(source)
    except ValueError:
        return _name(RejectResult, result), OTHER, OTHER
    return _name(RejectResult, result), known.name.lower(), _name(REJECT_REASONS[known], reason)


def _name(names: type[RejectResult] | type, value: int) -> str:
    try:
        return str(names(value).name).lower()
    except ValueError:
        return OTHER


INSTRUMENTS = (
    Instrument(
        "gauge",
        "dimse_mesh.associations.open",
        "Associations that are open now",
        _number(lambda counters: counters.associations_open),
    ),
    Instrument(
        "counter",
        "dimse_mesh.associations",
        "Associations accepted",
        _number(lambda counters: counters.associations_total),
    ),
    Instrument(
        "counter",
        "dimse_mesh.associations.ended",
        "Accepted associations that ended, by code: released is the good end",
        _by_code(lambda counters: counters.associations_ended),
    ),
    Instrument(
        "counter",
        "dimse_mesh.associations.rejected",
        "Associations rejected, by result, source and reason (PS3.8 9.3.4)",
        _rejected,
    ),
    Instrument(
        "counter",
        "dimse_mesh.target.openings",
        "Associations that an executor was asked to open, by remote AE (of the configuration) and result",
        _pairs("ae_title", "result", lambda counters: counters.openings),
    ),
    Instrument(
        "counter",
        "dimse_mesh.operations",
        "DIMSE operations finished at the endpoint whose peer asked, by service and outcome",
        _pairs("service", "outcome", lambda counters: counters.operations),
    ),
    Instrument(
        "gauge",
        "dimse_mesh.operations.in_flight",
        "DIMSE operations that peers of this endpoint asked for and that are not answered",
        _load(lambda load: load.operations),
    ),
    Instrument(
        "counter",
        "dimse_mesh.handler.operations",
        "DIMSE operations that a handler decided on, by service and decision: approved, or why it was refused",
        _pairs("service", "decision", lambda counters: counters.handled),
    ),
    Instrument(
        "counter",
        "dimse_mesh.dicom.received",
        "Bytes read from the peers of accepted associations",
        _bytes(lambda counters: counters.bytes_in, lambda load: load.bytes_in),
        "By",
    ),
    Instrument(
        "counter",
        "dimse_mesh.dicom.sent",
        "Bytes of DIMSE messages written to peers",
        _bytes(lambda counters: counters.bytes_out, lambda load: load.bytes_out),
        "By",
    ),
    Instrument(
        "counter",
        "dimse_mesh.protocol.errors",
        "Associations and connections ended because of a peer's mistake, by code",
        _by_code(lambda counters: counters.protocol_errors),
    ),
    Instrument(
        "counter",
        "dimse_mesh.connections.dropped",
        "Connections without an association that were closed because there were too many, by code",
        _by_code(lambda counters: counters.connections_dropped),
    ),
    Instrument(
        "counter",
        "dimse_mesh.tls.connections",
        "Clients' TLS connections that were established, by code: version and cipher suite",
        _by_code(lambda counters: counters.tls_connections),
    ),
    Instrument(
        "counter",
        "dimse_mesh.tls.failures",
        "TLS connections that failed, at a listener or a target, by code",
        _pairs("side", "code", lambda counters: counters.tls_troubles),
    ),
    Instrument(
        "counter",
        "dimse_mesh.events.lost",
        "Events that were not published: NATS was away, and too many waited",
        _number(lambda counters: counters.events_lost),
    ),
    Instrument(
        "counter",
        "dimse_mesh.events.published",
        "Events published, of all kinds",
        _number(lambda counters: counters.events_published),
    ),
    Instrument(
        "counter",
        "dimse_mesh.retransmissions",
        "Segments sent again over the mesh",
        _number(lambda counters: counters.retransmissions),
    ),
    Instrument(
        "gauge",
        "dimse_mesh.unacknowledged",
        "Bytes sent over the mesh and kept until the other endpoint has consumed them",
        _load(lambda load: load.unacknowledged),
        "By",
    ),
    Instrument(
        "gauge",
        "dimse_mesh.unacknowledged.limit",
        "Bytes above which each association is held to its fair share (mesh.max_buffered)",
        _load(lambda load: load.unacknowledged_limit),
        "By",
    ),
    Instrument(
        "gauge",
        "dimse_mesh.undelivered",
        "Bytes received over the mesh and not yet taken by peers",
        _load(lambda load: load.undelivered),
        "By",
    ),
    Instrument(
        "gauge",
        "dimse_mesh.associations.held_back",
        "Associations whose peer is not read, because the other side takes no more",
        _load(lambda load: load.held_back),
    ),
    Instrument(
        "gauge",
        "dimse_mesh.associations.stalled",
        "Associations whose peer does not take what is written to it",
        _load(lambda load: load.stalled),
    ),
    Instrument(
        "gauge",
        "dimse_mesh.associations.remembered",
        "Associations of which anything is kept: being opened, open, or ended and not forgotten yet",
        _load(lambda load: load.remembered),
    ),
    Instrument(
        "gauge",
        "dimse_mesh.instances.watched",
        "Other instances whose death this process waits for, because associations go through them",
        _held(lambda held: held.watched),
    ),
    Instrument(
        "gauge",
        "dimse_mesh.nats.subscriptions",
        "Subscriptions of this process, on both of its connections to NATS",
        _held(lambda held: held.subscriptions),
    ),
    Instrument(
        "gauge",
        "dimse_mesh.tasks",
        "asyncio tasks of this process: none for an association that is open",
        _held(lambda held: held.tasks),
    ),
    Instrument("gauge", "dimse_mesh.nats.connected", "1 while NATS can be reached, else 0", _connected),
    Instrument(
        "counter",
        "dimse_mesh.nats.outages",
        "How often the connection to NATS was lost",
        _number(lambda counters: counters.mesh_outages),
    ),
)


class Metrics:
    """The instruments of one process over its `Counters`."""

    def __init__(self, counters: Counters, resource: Resource) -> None:
        self._counters = counters
        self._observed: Load | None = None
        self._registry = CollectorRegistry()
        self._provider = MeterProvider(
            metric_readers=[PrometheusMetricReader(registry=self._registry, scope_info_enabled=False)],
            resource=resource,
            shutdown_on_exit=False,
        )
        meter = self._provider.get_meter("dimse_mesh")
        for instrument in (*INSTRUMENTS, *DURABLE_INSTRUMENTS, *AUDIT_INSTRUMENTS):
            self._create(meter, instrument)
        self._registry.register(_DurationCollector(counters))
        ProcessCollector(registry=self._registry)

    def _create(self, meter: Meter, instrument: Instrument) -> None:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            return [
                Observation(value, labels)
                for value, labels in instrument.read(self._counters, self._observed)
            ]

        create = (
            meter.create_observable_counter
            if instrument.kind == "counter"
            else meter.create_observable_up_down_counter
        )
        create(instrument.name, [observe], unit=instrument.unit, description=instrument.description)

    def exposition(self, accepted: str = "") -> tuple[str, bytes]:
        """Return content type and text of all metrics.

        Args:
            accepted: the Accept field of the request. OpenMetrics, when it names that, has exemplars too: with each
                bucket of a duration the trace of an operation that took so long. Else: Prometheus' text format.
        """
        load = self._counters.load
        self._observed = load() if load is not None else None
        encode, content_type = choose_encoder(accepted)
        return content_type, encode(self._registry)

    def shutdown(self) -> None:
        """Unregister; the object must not be used afterwards."""
        self._provider.shutdown()


class _DurationCollector(Collector):
    """Durations of operations: an OpenTelemetry histogram would cost each of them 12 us."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(
            DURATION, "From a DIMSE request to its final response, by service", labels=["service"]
        )
        for service, durations in self._counters.durations.items():
            family.add_metric([service], _buckets(durations), durations.total)
        yield family


def _buckets(durations: Durations) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
    """Return upper bound and count of each bucket, with an exemplar where there is one."""
    buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
    for bucket, (bound, count) in enumerate(
        zip([*map(str, SECONDS), "+Inf"], accumulate(durations.buckets), strict=True)
    ):
        example = durations.examples.get(bucket)
        buckets.append((bound, count) if example is None else (bound, count, _exemplar(example)))
    return buckets


def _exemplar(example: TracedDuration) -> Exemplar:
    _, trace_id, span_id, _ = example.traceparent.split("-")
    return Exemplar({"trace_id": trace_id, "span_id": span_id}, example.seconds, example.ended)
