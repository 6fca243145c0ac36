"""What a queue says of itself: to `queue why`, by the newest word in its source zone, and to the metrics."""

from __future__ import annotations

import time
import uuid

import anyio

from dimse_mesh.delivery.outcomes import DeliveryOutcome
from dimse_mesh.mesh import JetStream, MeshError, pack
from dimse_mesh.schemas.spool import Manifest, QueueStatus
from dimse_mesh.schemas.spool_subjects import SpoolSubjects, StateKind

BETWEEN = 1.0
"""Seconds between two words, at least."""
IDLE = "nothing waits"
DELIVERING = "delivering"


class QueueReport:
    """The state of one queue, published when it has changed."""

    def __init__(self, jetstream: JetStream, spool: SpoolSubjects, instance: str) -> None:
        self._jetstream = jetstream
        self._spool = spool
        self._instance = instance
        self._status = QueueStatus(sentence="starting", since=time.time(), instance=instance)
        self._changed = anyio.Event()
        self.outcomes: dict[str, int] = {}
        """Attempts by cause."""
        self.dead_letters = 0

    def attempted(self, outcome: DeliveryOutcome) -> None:
        """Count an attempt."""
        self.outcomes[outcome.cause.value] = self.outcomes.get(outcome.cause.value, 0) + 1

    def delivered(self, manifest: Manifest, outcome: DeliveryOutcome) -> None:  # noqa: ARG002 - for spans
        """Note that an object is at its destination."""
        self._say(DELIVERING)

    def buried(self, outcome: DeliveryOutcome) -> None:  # noqa: ARG002 - counted in `attempted`
        """Note that an object has become a dead letter."""
        self.dead_letters += 1

    def waits(self, sentence: str, cause: str, next_attempt: float | None) -> None:
        """Note what the queue waits for."""
        self._say(sentence, cause=cause, next_attempt=next_attempt)

    def idle(self) -> None:
        """Note that there is nothing to deliver."""
        self._say(IDLE)

    def _say(self, sentence: str, *, cause: str = "", next_attempt: float | None = None) -> None:
        status = self._status
        if sentence == status.sentence and next_attempt is None:
            return
        since = status.since if sentence == status.sentence else time.time()
        self._status = QueueStatus(
            sentence=sentence[:1024],
            cause=cause,
            since=since,
            next_attempt=next_attempt,
            instance=self._instance,
        )
        self._changed.set()
        self._changed = anyio.Event()

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
                    rollup=True,
                )
                said = status
            except MeshError:
                pass  # NATS is away: nobody could read it either
            await anyio.sleep(BETWEEN)
