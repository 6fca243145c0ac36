"""Counts of a process: plain numbers that the hot path increments and a scrape reads.

Keys are codes (the standard's or our own) or AE titles from the configuration, never AE titles, UIDs or text from a
peer. So the number of keys is bounded.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

from dimse_mesh.audit import AuditNumbers
from dimse_mesh.runtime.counters_durable import CommitmentCounters, QueueCounters, QueueKey, SpoolCounters

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the buckets of durations."""
MAX_REJECT_KEYS = 64
OTHER_REJECT = (0, 0, 0)
"""Key of all further kinds of rejection: a target may answer any three bytes."""
USUAL_TLS = ("TLSv1.3 TLS_AES_256_GCM_SHA384", "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384")
"""Versions and cipher suites that a front-end counts from the start."""
APPROVED = "approved"
"""Outcome of an operation that a handler approved."""


class Load(NamedTuple):
    """What the halves of an endpoint carry now; bytes by associations that ended are in `Counters`."""

    operations: int = 0
    """Operations that our peers have asked for and that aren't answered yet."""
    bytes_in: int = 0
    bytes_out: int = 0
    unacknowledged: int = 0
    """Bytes sent to other endpoints and kept until those have consumed them."""
    unacknowledged_limit: int = 0
    undelivered: int = 0
    """Bytes received from other endpoints, not yet written to peers."""
    held_back: int = 0
    """Associations whose peer we don't read from, because the other side takes no more."""
    stalled: int = 0
    """Associations whose peer doesn't read what we write."""
    remembered: int = 0
    """Associations that take up memory: opening, open, or ended while the other endpoint may not know it yet."""


class Held(NamedTuple):
    """Resources of a process; none may be left over when its associations and operations have ended."""

    tasks: int
    """asyncio tasks."""
    subscriptions: int
    """Subscriptions on both connections to NATS."""
    watched: int
    """Other instances whose death this process watches for."""


class TracedDuration(NamedTuple):
    """One operation as an example of its bucket (an exemplar, as OpenMetrics calls it)."""

    traceparent: str
    seconds: float
    ended: float
    """Seconds since the epoch."""


class Durations:
    """A histogram of seconds over the buckets `SECONDS`; the newest traced operation of each bucket is remembered."""

    __slots__ = ("buckets", "examples", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(SECONDS) + 1)
        self.examples: dict[int, TracedDuration] = {}
        """By index of the bucket."""
        self.total = 0.0

    def add(self, seconds: float, traceparent: str | None = None) -> None:
        """Count one duration; `traceparent` names the operation's span when it is sampled."""
        bucket = bisect_left(SECONDS, seconds)
        self.buckets[bucket] += 1
        self.total += seconds
        if traceparent is not None:
            self.examples[bucket] = TracedDuration(traceparent, seconds, time.time())


@dataclass(slots=True)
class Counters:
    """Counts since the process started. Only `associations_open` ever goes down."""

    associations_open: int = 0
    associations_total: int = 0
    """Accepted, since the start."""
    associations_ended: dict[str, int] = field(default_factory=dict)
    """Accepted ones that ended, by code: `released`, `aborted-by-peer`, ..."""
    rejected: dict[tuple[int, int, int], int] = field(default_factory=dict)
    """Associations rejected, by (result, source, reason): PS3.8 §9.3.4."""
    openings: dict[tuple[str, str], int] = field(default_factory=dict)
    """Associations that an executor was asked to open, by (AE title of the configuration, `OpenResult`)."""
    operations: dict[tuple[str, str], int] = field(default_factory=dict)
    """Operations finished, by (DIMSE service, outcome): `success`, `warning`, `failure`, `cancel`, `aborted`."""
    durations: dict[str, Durations] = field(default_factory=dict)
    """How long they took, by DIMSE service."""
    handled: dict[tuple[str, str], int] = field(default_factory=dict)
    """Operations that a handler decided on, by (DIMSE service, `approved` or the refusal's code)."""
    bytes_in: int = 0
    """Bytes read from DICOM peers whose association has ended."""
    bytes_out: int = 0
    """Bytes written to them."""
    protocol_errors: dict[str, int] = field(default_factory=dict)
    """Associations that ended by a peer's protocol error, by its code."""
    connections_dropped: dict[str, int] = field(default_factory=dict)
    """Connections without an association that were closed because there were too many, by code."""
    tls_connections: dict[str, int] = field(default_factory=dict)
    """TLS connections of clients that were established, by (version, cipher suite) as OpenSSL calls them."""
    tls_troubles: dict[tuple[str, str], int] = field(default_factory=dict)
    """TLS connections that failed, by (`listener` or `target`, code)."""
    retransmissions: int = 0
    """Segments sent again over the mesh."""
    mesh_outages: int = 0
    """How often the connection to NATS was lost."""
    events_published: int = 0
    events_lost: int = 0
    """Events that could not be published while NATS was away, since too many waited."""
    queues: dict[QueueKey, QueueCounters] = field(default_factory=dict)
    """Of durable routes, in a delivery service."""
    spools: dict[QueueKey, SpoolCounters] = field(default_factory=dict)
    """Of durable routes, in a C-STORE handler of the zone that keeps the objects."""
    commitments: CommitmentCounters | None = None
    """Of durable routes, in a front-end."""
    load: Callable[[], Load] | None = None
    """What the halves carry now; set by an endpoint's router."""
    held: Callable[[], Held] | None = None
    """What the process holds now; set when NATS was connected for the first time."""
    mesh_connected: Callable[[], bool] | None = None
    """Whether NATS is connected; set when it was for the first time."""
    certificates: Callable[[], list[tuple[str, float]]] | None = None
    """When our own certificates expire, by whom they are shown to; None: there are none to look at."""
    audit: Callable[[], AuditNumbers] | None = None
    """What the audit trail has written and lost; None: there is none."""

    def association_opened(self) -> None:
        """Count an accepted association."""
        self.associations_open += 1
        self.associations_total += 1

    def association_closed(self, code: str) -> None:
        """Count the end of an accepted association."""
        self.associations_open -= 1
        self.associations_ended[code] = self.associations_ended.get(code, 0) + 1

    def carried(self, bytes_in: int, bytes_out: int) -> None:
        """Count what an association that has ended brought from its peer, and to it."""
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out

    def sent_again(self, segments: int) -> None:
        """Count segments that were sent again over the mesh."""
        self.retransmissions += segments

    def association_rejected(self, result: int, source: int, reason: int) -> None:
        """Count an A-ASSOCIATE-RJ (PS3.8 §9.3.4)."""
        key = (result, source, reason)
        if key not in self.rejected and len(self.rejected) >= MAX_REJECT_KEYS:
            key = OTHER_REJECT
        self.rejected[key] = self.rejected.get(key, 0) + 1

    def expect_openings(self, ae_titles: Iterable[str], results: Iterable[str]) -> None:
        """Begin to count, at 0, the answers of an executor to its AEs."""
        self.openings.update(dict.fromkeys(product(ae_titles, map(str, results)), 0))

    def opening_answered(self, ae_title: str, result: str) -> None:
        """Count the answer of an executor; the AE title is the configuration's."""
        key = (ae_title, result)
        self.openings[key] = self.openings.get(key, 0) + 1

    def operation_finished(
        self, service: str, outcome: str, seconds: float, *, traceparent: str | None = None
    ) -> None:
        """Count an operation of a DIMSE service, with its outcome, how long it took, and its span if sampled."""
        key = (service, outcome)
        self.operations[key] = self.operations.get(key, 0) + 1
        durations = self.durations.get(service)
        if durations is None:
            durations = self.durations[service] = Durations()
        durations.add(seconds, traceparent)

    def operation_handled(self, service: str, decision: str) -> None:
        """Count what a handler decided on an operation."""
        key = (service, decision)
        self.handled[key] = self.handled.get(key, 0) + 1

    def expect_connections(self, codes: Iterable[str]) -> None:
        """Begin to count, at 0, what a front-end's connections become."""
        self.connections_dropped.update(dict.fromkeys(codes, 0))
        self.tls_connections.update(dict.fromkeys(USUAL_TLS, 0))

    def connection_dropped(self, code: str) -> None:
        """Count a connection that went because too many waited."""
        self.connections_dropped[code] = self.connections_dropped.get(code, 0) + 1

    def tls_connected(self, version: str, cipher: str) -> None:
        """Count a client's TLS connection."""
        code = f"{version} {cipher}"
        self.tls_connections[code] = self.tls_connections.get(code, 0) + 1

    def expect_tls_troubles(self, side: str, codes: Iterable[str]) -> None:
        """Begin to count, at 0, what goes wrong with TLS on one side."""
        self.tls_troubles.update({(str(side), str(code)): 0 for code in codes})

    def tls_trouble(self, side: str, code: str) -> None:
        """Count a TLS connection that failed."""
        key = (str(side), str(code))
        self.tls_troubles[key] = self.tls_troubles.get(key, 0) + 1

    def protocol_error(self, code: str) -> None:
        """Count a peer's mistake by its code."""
        self.protocol_errors[code] = self.protocol_errors.get(code, 0) + 1
