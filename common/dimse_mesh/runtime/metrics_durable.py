"""Instruments of durable delivery (docs/delivery.md lists them)."""

from __future__ import annotations

from collections.abc import Callable

from dimse_mesh.runtime.counters import Counters, Load
from dimse_mesh.runtime.counters_durable import QueueCounters, SpoolCounters
from dimse_mesh.runtime.instrument import Instrument, Values


def _queues(read: Callable[[QueueCounters], float]) -> Callable[[Counters, Load | None], Values]:
    return lambda counters, _: [(read(queue), key._asdict()) for key, queue in counters.queues.items()]


def _spools(read: Callable[[SpoolCounters], float]) -> Callable[[Counters, Load | None], Values]:
    return lambda counters, _: [(read(spool), key._asdict()) for key, spool in counters.spools.items()]


def _waits(counters: Counters, _: Load | None) -> Values:
    return [
        (float(bool(queue.waits_for)), {**key._asdict(), "cause": queue.waits_for or "none"})
        for key, queue in counters.queues.items()
    ]


def _states(counters: Counters, _: Load | None) -> Values:
    return [
        (1, {**key._asdict(), "state": spool.state}) for key, spool in counters.spools.items() if spool.state
    ]


def _refusing(counters: Counters, _: Load | None) -> Values:
    return [
        (float(bool(spool.refusing)), {**key._asdict(), "reason": spool.refusing or "none"})
        for key, spool in counters.spools.items()
    ]


def _disk_shares(counters: Counters, _: Load | None) -> Values:
    return [(spool.disk_share, key._asdict()) for key, spool in counters.spools.items() if spool.disk_share]


def _attempts(counters: Counters, _: Load | None) -> Values:
    return [
        (count, {**key._asdict(), "cause": cause})
        for key, queue in counters.queues.items()
        for cause, count in queue.attempts.items()
    ]


def _commitments(counters: Counters, _: Load | None) -> Values:
    found = counters.commitments
    return [] if found is None else [(count, {"outcome": code}) for code, count in found.outcomes.items()]


def _commitments_pending(counters: Counters, _: Load | None) -> Values:
    return [] if counters.commitments is None else [(counters.commitments.pending, {})]


DURABLE_INSTRUMENTS = (
    Instrument(
        "counter",
        "dimse_mesh.commitments",
        "Requests for storage commitment on durable routes and what became of them, by outcome",
        _commitments,
    ),
    Instrument(
        "gauge",
        "dimse_mesh.commitments.pending",
        "Requests for storage commitment that were answered and are not reported yet",
        _commitments_pending,
    ),
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
    Instrument(
        "gauge",
        "dimse_mesh.queue.waits",
        "1 while a queue waits for what the cause says; 0 with the cause none",
        _waits,
    ),
    Instrument(
        "gauge",
        "dimse_mesh.spool.reachable",
        "1 while a spool can be read",
        _spools(lambda spool: spool.reachable),
    ),
    Instrument(
        "gauge",
        "dimse_mesh.spool.objects",
        "Objects that wait in a spool, whoever delivers them",
        _spools(lambda spool: spool.objects),
    ),
    Instrument(
        "gauge",
        "dimse_mesh.spool.oldest",
        "How long the oldest object of a spool has waited",
        _spools(lambda spool: spool.oldest),
        "s",
    ),
    Instrument(
        "gauge",
        "dimse_mesh.spool.kept",
        "Bytes that a spool takes on disk, as its own zone sees it",
        _spools(lambda spool: spool.bytes_kept),
        "By",
    ),
    Instrument(
        "gauge",
        "dimse_mesh.spool.limit",
        "Bytes that a spool may take, as its own zone sees it",
        _spools(lambda spool: spool.bytes_limit),
        "By",
    ),
    Instrument(
        "gauge",
        "dimse_mesh.spool.disk_used_ratio",
        "Share of the disk of a spool (spool.store_dir) that is in use, whoever uses it, where it can be seen",
        _disk_shares,
    ),
    Instrument(
        "gauge",
        "dimse_mesh.spool.refusing",
        "1 while clients are refused: the spool or its disk is nearly full, or frozen; 0 with the reason none",
        _refusing,
    ),
    Instrument(
        "gauge",
        "dimse_mesh.spool.state",
        "1 for what becomes of a spool's objects: idle, delivering, paused, nobody, silent, or a cause of attempts",
        _states,
    ),
)
