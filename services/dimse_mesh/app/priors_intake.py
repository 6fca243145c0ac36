"""Hear of new studies: from the zone's stream of events, where it has one, else as they are published."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio

from dimse_mesh.app.priors_state import PriorsState
from dimse_mesh.mesh import EnvelopeError, JetStream, Mesh, MeshError, unpack
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.schemas.event_subjects import all_events, event_interest, event_stream
from dimse_mesh.schemas.events import EventKind, ObjectStored

log = logging.getLogger(__name__)

BATCH, BATCH_BYTES = 512, 1 << 20
LOOK_SECONDS = 1.0
MOST_REMEMBERED = 10_000
"""Studies of which it is remembered, in memory, that they were noted: an object of them costs nothing then."""


class PriorsIntake:
    """Notes the studies whose objects arrive at the AEs of the rules.

    Args:
        noted: is told when a study is new.
    """

    def __init__(
        self, mesh: Mesh, settings: ZoneSettings, state: PriorsState, noted: Callable[[], None]
    ) -> None:
        self._mesh = mesh
        self._settings = settings
        self._state = state
        self._noted = noted
        self._aes = {title for rule in settings.priors.rules for title in rule.arrivals}
        self._seen: dict[tuple[str, str], None] = {}

    async def listen(self) -> None:
        """Hear of what arrives, until cancelled, where the zone has no stream; else return at once."""
        if self._settings.is_durable:
            return
        root, zone = self._settings.subject_root, self._settings.zone
        await self._mesh.subscribe(
            event_interest(root, zone, EventKind.OBJECT_STORED),
            lambda message: self._take(message.payload),
        )

    async def read(self) -> None:
        """Read the zone's stream, until cancelled, where it has one; else return at once."""
        settings = self._settings
        if not settings.is_durable:
            return
        stream = JetStream(self._mesh, domain=settings.spool.domain, deadline=settings.spool.deadline)
        await stream.start()
        name = event_stream(settings.subject_root, settings.zone)
        subject = all_events(settings.subject_root, settings.zone)
        kind = f".{EventKind.OBJECT_STORED.value}."
        while True:
            try:
                batch = await stream.read(
                    name, subject, first=self._state.position, count=BATCH, max_bytes=BATCH_BYTES
                )
            except MeshError as error:
                log.warning("the zone's events can't be read: %s", error)
                await anyio.sleep(LOOK_SECONDS)
                continue
            for message in batch.messages:
                if kind in message.subject:
                    self._take(message.payload, position=message.sequence + 1)
            if batch.messages:
                self._state.read_to(batch.messages[-1].sequence + 1)
            if not batch.pending:
                await anyio.sleep(LOOK_SECONDS)

    def _take(self, payload: bytes, *, position: int | None = None) -> None:
        try:
            event, _ = unpack(ObjectStored, payload)
        except EnvelopeError:
            return
        key = (event.study, event.ae)
        if not event.study or event.ae not in self._aes or key in self._seen:
            return
        if self._state.arrived(*key, position=position):
            self._noted()
        self._seen[key] = None
        if len(self._seen) > MOST_REMEMBERED:
            del self._seen[next(iter(self._seen))]
