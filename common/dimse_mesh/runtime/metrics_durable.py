"""Instruments of durable delivery (docs/delivery.md lists them)."""

from __future__ import annotations

from collections.abc import Callable

from dimse_mesh.runtime.counters import Counters, Load
from dimse_mesh.runtime.counters_durable import QueueCounters
from dimse_mesh.runtime.instrument import Instrument, Values


def _queues(read: Callable[[QueueCounters], float]) -> Callable[[Counters, Load | None], Values]:
    return lambda counters, _: [(read(queue), key._asdict()) for key, queue in counters.queues.items()]


def _attempts(counters: Counters, _: Load | None) -> Values:
    return [
        (count, {**key._asdict(), "cause": cause})
        for key, queue in counters.queues.items()
        for cause, count in queue.attempts.items()
    ]


DURABLE_INSTRUMENTS = (
    Instrument(
        "counter",
        "dimse_mesh.delivery.attempts",
        "Attempts to deliver an object of a durable route, by cause: delivered is the good one",
        _attempts,
    ),
    Instrument(
        "counter",
        "dimse_mesh.delivery.dead_letters",
        "Objects of durable routes that are not tried again by themselves",
        _queues(lambda queue: queue.dead_letters),
    ),
    Instrument(
        "gauge",
        "dimse_mesh.queue.objects",
        "Objects of durable routes that wait for their destination",
        _queues(lambda queue: queue.objects),
    ),
    Instrument(
        "gauge",
        "dimse_mesh.queue.oldest",
        "How long the oldest object of a queue has waited",
        _queues(lambda queue: queue.oldest),
        "s",
    ),
    Instrument(
        "gauge",
        "dimse_mesh.queue.kept",
        "Bytes that a spool takes on disk, dead letters included",
        _queues(lambda queue: queue.bytes_kept),
        "By",
    ),
    Instrument(
        "gauge",
        "dimse_mesh.queue.limit",
        "Bytes that a spool may take (spool.max_bytes): above it clients are refused",
        _queues(lambda queue: queue.bytes_limit),
        "By",
    ),
)
