"""What a queue says of itself: to `queue why`, by the newest word in its source zone, and to the metrics."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import anyio

from dimse_mesh.delivery.outcomes import DeliveryCause, DeliveryOutcome, Scope
from dimse_mesh.mesh import JetStream, MeshError, pack
from dimse_mesh.runtime.counters_durable import QueueCounters
from dimse_mesh.runtime.telemetry import Telemetry
from dimse_mesh.schemas.spool import Manifest, QueueStatus
from dimse_mesh.schemas.spool_subjects import SpoolSubjects, StateKind
from dimse_mesh.spool import Unreadable, parse_object

BETWEEN = 1.0
"""Seconds between two words, at least."""
LOOK_RATE = 32 << 10
"""Bytes a second that looks at the first object of a queue take of the line, at most."""
IDLE = "nothing waits"
DELIVERING = "delivering"


@dataclass(frozen=True, slots=True)
class Word:
    """What a share of a queue says.

    Attributes:
        waits_for: for the metrics; empty: for nothing.
        next_attempt: seconds since 1970; None: there is none to wait for.
    """

    sentence: str
    waits_for: str = ""
    cause: str = ""
    next_attempt: float | None = None

    @property
    def weight(self) -> int:
        """Whether it is heard before another one."""
        return 2 if self.waits_for else int(self.sentence != IDLE)


@dataclass(slots=True)
class Attempt:
    """One attempt, as it is traced."""

    outcome: DeliveryOutcome | None = None


class ShareReport:
    """What one share of a queue says.

    Args:
        whole: is told whenever that has changed.
    """

    def __init__(self, whole: QueueReport) -> None:
        self._whole = whole
        self.word = Word(IDLE)

    def attempt(self, manifest: Manifest, number: int) -> AbstractContextManager[Attempt]:
        """Trace an attempt: its span is of the trace in which the object was stored."""
        return self._whole.attempt(manifest, number)

    def attempted(self, outcome: DeliveryOutcome) -> None:
        """Count an attempt."""
        self._whole.counters.attempted(outcome.cause.value)

    def delivers(self) -> None:
        """Note that the destination has taken an object, or has refused one and is there."""
        self._say(Word(DELIVERING + self._whole.note))

    def buried(self) -> None:
        """Note that an object has become a dead letter: the destination is there, and the next one is tried."""
        self._whole.counters.dead_letters += 1
        self.delivers()

    def waits(self, sentence: str, cause: str, next_attempt: float | None) -> None:
        """Note what the share waits for."""
        self._say(
            Word(sentence, waits_for=cause or "spool-unreadable", cause=cause, next_attempt=next_attempt)
        )

    def idle(self) -> None:
        """Note that there is nothing to deliver."""
        self._say(Word(IDLE))

    def _say(self, word: Word) -> None:
        self.word = word
        self._whole.hear()


class QueueReport:
    """The state of one queue, published when it has changed.

    Of its shares, one that waits for something is heard before those that deliver, and those before the idle ones.
    """

    def __init__(
        self,
        jetstream: JetStream,
        spool: SpoolSubjects,
        instance: str,
        counters: QueueCounters,
        telemetry: Telemetry,
        *,
        note: str = "",
    ) -> None:
        self.note = note
        """What is said of it while objects are delivered."""
        self._shares: list[ShareReport] = []
        self._heard: Word | None = None
        """What the newest word is made of."""
        self._jetstream = jetstream
        self._spool = spool
        self._instance = instance
        self._status = QueueStatus(sentence="starting", since=time.time(), instance=instance)
        self._changed = anyio.Event()
        self._messages: tuple[int, int] | None = None
        """How many messages the spool had when it was looked at, and the last one's sequence number."""
        self._oldest: float | None = None
        """When the first object of the queue was received, seconds since 1970."""
        self._due = 0.0
        """When it may be looked at again."""
        self.counters = counters
        self._telemetry = telemetry

    @contextmanager
    def attempt(self, manifest: Manifest, number: int) -> Iterator[Attempt]:
        """Trace an attempt: its span is of the trace in which the object was stored."""
        span = None
        if manifest.traceparent is not None:
            span = self._telemetry.start_span(
                "deliver C-STORE",
                kind="client",
                parent=manifest.traceparent,
                attributes={"dicom.ae.remote": self._spool.label, "dicom.delivery.attempt": number},
            )
        attempt = Attempt()
        code: str | None = "spool-unreadable"
        try:
            yield attempt
            outcome = attempt.outcome
            code = None if outcome is None or outcome.scope is Scope.NOBODY else outcome.cause.value
        finally:
            self._telemetry.end(span, error_code=code)

    def share(self) -> ShareReport:
        """Return the report of one more share."""
        share = ShareReport(self)
        self._shares.append(share)
        return share

    def lost(self) -> None:
        """Note that an object is gone from the spool."""
        self.counters.attempted(DeliveryCause.DAMAGED.value)
        self.counters.dead_letters += 1

    def hear(self) -> None:
        """Heed that a share says something else."""
        word = max((share.word for share in self._shares), key=lambda each: each.weight)
        if word == self._heard:
            return
        status, self._heard = self._status, word
        self.counters.waits_for = word.waits_for
        self._status = QueueStatus(
            sentence=word.sentence[:1024],
            cause=word.cause,
            since=status.since if word.sentence == status.sentence else time.time(),
            next_attempt=word.next_attempt,
            instance=self._instance,
        )
        self._changed.set()
        self._changed = anyio.Event()

    @property
    def status(self) -> QueueStatus:
        """The newest word."""
        return self._status

    async def measure(self) -> None:
        """Look how much waits.

        Raises:
            MeshError: it can't be seen.
        """
        counters = self.counters
        info = await self._jetstream.request(f"STREAM.INFO.{self._spool.stream}")
        state = info["state"]
        counters.bytes_kept = int(state["bytes"])
        counters.bytes_limit = int(info["config"]["max_bytes"])
        messages = (int(state["messages"]), int(state["last_seq"]))
        if messages != self._messages and (self._status.sentence == IDLE or time.monotonic() >= self._due):
            await self._look_at_first()
            self._messages = messages
        counters.oldest = 0.0 if self._oldest is None else max(0.0, time.time() - self._oldest)

    async def _look_at_first(self) -> None:
        """Count the objects that wait, and see how old the first one is.

        It comes with its data set: so over a line between zones, this isn't done as often as one might like.

        Raises:
            MeshError: it can't be read.
        """
        first = await self._jetstream.read(self._spool.stream, self._spool.object(), count=1, max_bytes=1)
        self.counters.objects = len(first.messages) + first.pending
        self._oldest = None
        for message in first.messages:
            found = parse_object(message)
            if not isinstance(found, Unreadable):
                self._oldest = found.manifest.received
            self._due = time.monotonic() + len(message.payload) / LOOK_RATE

    async def publish(self) -> None:
        """Publish the newest word whenever it has changed, until cancelled."""
        said: QueueStatus | None = None
        while True:
            status = self._status
            if status is said:
                await self._changed.wait()
                continue
            try:
                await self._jetstream.publish(
                    self._spool.state(StateKind.STATUS),
                    pack(status),
                    message_id=uuid.uuid4().hex,
                )
                said = status
            except MeshError:
                pass  # NATS is away: nobody could read it either
            await anyio.sleep(BETWEEN)
