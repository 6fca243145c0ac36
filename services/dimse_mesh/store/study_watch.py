"""Tells when a study is quiet: every C-STORE handler of a zone follows its objects, and one of them says so.

What a handler knows it can learn anew, so a death loses nothing:

    zone with durable routes   every handler reads the zone's stream of events; one that starts begins where the last
                               word about a quiet study says that nothing before waits
    zone without               there is no such stream: every handler hears what is published, and remembers

The live handler with the lowest address speaks. While two believe that they are the one, a word is said twice, with the
same id; nats-server keeps it once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

import anyio

from dimse_mesh.events import EventPublisher, KeptEvents, event_publisher
from dimse_mesh.mesh import EnvelopeError, JetStream, MeshError, Message, newest_message_of, unpack
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.schemas.addresses import Role
from dimse_mesh.schemas.event_subjects import all_events, event_interest, event_stream
from dimse_mesh.schemas.events import EventKind, ObjectAccepted, ObjectStored, StudyQuiet
from dimse_mesh.schemas.tokens import id_of
from dimse_mesh.store.quiet import QuietStudies, StudyKey

log = logging.getLogger(__name__)

FOLLOWED: Final = (EventKind.OBJECT_STORED, EventKind.OBJECT_ACCEPTED, EventKind.STUDY_QUIET)
BATCH, BATCH_BYTES = 512, 1 << 20
LONGEST_LOOK: Final = 1.0
"""Seconds between two looks, at most."""


class StudyWatch:
    """Follows the studies of a zone that publishes events.

    Args:
        publisher: of a zone without durable routes.
        stream: of a zone with durable routes; None: it has none.
    """

    def __init__(self, context: ServiceContext, publisher: EventPublisher, stream: JetStream | None) -> None:
        settings = context.settings
        self._context = context
        self._publisher = publisher
        self._stream = stream
        self._root, self._zone = settings.subject_root, settings.zone
        self._seconds = settings.events.study_quiet
        self._studies = QuietStudies(self._seconds)
        self._position = 0
        """Sequence number of the next event to read; 0: it isn't known yet where to begin."""
        self._up_to_date = False
        """Whether what is read now has just happened."""
        self._kept = (
            None
            if stream is None
            else KeptEvents(
                stream, context.counters, root=self._root, zone=self._zone, sender=context.mesh.address
            )
        )

    async def run(self) -> None:
        """Follow, and tell, until cancelled."""
        if self._stream is None:
            for kind in FOLLOWED:
                await self._context.mesh.subscribe(event_interest(self._root, self._zone, kind), self._heard)
        pause = min(LONGEST_LOOK, self._seconds / 4)
        while True:
            try:
                if self._stream is not None:
                    await self._read(self._stream)
                if self._speaks:
                    await self._tell()
            except MeshError as error:
                log.debug("the zone's events can't be followed: %s", error)
            await anyio.sleep(pause)

    @property
    def _speaks(self) -> bool:
        """Whether it is this handler that tells."""
        own = self._context.mesh.address
        others = (
            one.address
            for one in self._context.liveness.instances
            if one.address.role is Role.STORE and one.address.zone == own.zone and not one.heartbeat.draining
        )
        return own == min((*others, own)) and not self._context.draining.is_set()

    def _heard(self, message: Message) -> None:
        self._note(message.subject, message.payload, sequence=0)

    async def _read(self, stream: JetStream) -> None:
        """Read what has happened since the last look.

        Raises:
            MeshError: it can't be read now.
        """
        name = event_stream(self._root, self._zone)
        if not self._position:
            self._position = await self._beginning(stream, name)
        while True:
            batch = await stream.read(
                name,
                all_events(self._root, self._zone),
                first=self._position,
                count=BATCH,
                max_bytes=BATCH_BYTES,
            )
            for message in batch.messages:
                self._note(message.subject, message.payload, sequence=message.sequence)
                self._position = message.sequence + 1
            if not batch.pending:
                self._up_to_date = True
                return

    async def _beginning(self, stream: JetStream, name: str) -> int:
        """Return from which event on studies may wait.

        Raises:
            MeshError: it can't be seen now.
        """
        subject = event_interest(self._root, self._zone, EventKind.STUDY_QUIET)
        newest = await newest_message_of(stream, name, subject)
        if newest is None:
            return 1
        try:
            word, _ = unpack(StudyQuiet, newest.payload)
        except EnvelopeError:  # another major version's
            return 1
        return max(1, word.settled)

    def _note(self, subject: str, payload: bytes, *, sequence: int) -> None:
        kind = subject.split(".")[-4]
        now = asyncio.get_running_loop().time()
        try:
            if kind == EventKind.STUDY_QUIET:
                word, _ = unpack(StudyQuiet, payload)
                self._studies.told(StudyKey(word.after, word.ae, word.study), last=word.last)
                return
            if kind == EventKind.OBJECT_STORED:
                stored, _ = unpack(ObjectStored, payload)
                key, at = StudyKey(kind, stored.ae, stored.study), stored.at
            elif kind == EventKind.OBJECT_ACCEPTED:
                accepted, _ = unpack(ObjectAccepted, payload)
                key, at = StudyKey(kind, accepted.called_ae, accepted.study), accepted.at
            else:
                return
        except EnvelopeError:
            return
        if key.study:
            late = sequence and not self._up_to_date
            heard = now - max(0.0, time.time() - at) if late else now
            self._studies.arrived(key, at=at, heard=heard, sequence=sequence)

    async def _tell(self) -> None:
        for key, arrivals in list(self._studies.due(asyncio.get_running_loop().time())):
            word = StudyQuiet.model_construct(
                id=id_of(*key, f"{arrivals.last:.6f}", str(arrivals.last_at)),  # the same, whoever says it
                at=time.time(),
                after=key.after,
                ae=key.ae,
                study=key.study,
                objects=arrivals.objects,
                first=arrivals.first,
                last=arrivals.last,
                settled=self._studies.settled(self._position, but=key),
            )
            if self._kept is None:
                self._publisher.publish(EventKind.STUDY_QUIET, word)
            elif not await self._kept.keep(EventKind.STUDY_QUIET, word, message_id=word.id):
                return  # it is tried again: the study still waits
            self._studies.told(key, last=arrivals.last)


async def watch_studies(context: ServiceContext) -> None:
    """Tell when a study is quiet, until cancelled; returns at once if nobody is to be told."""
    settings = context.settings
    publisher = event_publisher(context)
    if publisher is None or not settings.events.study_quiet:
        return
    stream = None
    if settings.is_durable:
        stream = JetStream(context.mesh, domain=settings.spool.domain, deadline=settings.spool.deadline)
        await stream.start()
    await StudyWatch(context, publisher, stream).run()
