"""Which zone a study came from: remembered over restarts, by the zone that has received it.

What is remembered says no more than that some object of a study came, from where and when. Of a study that came from
several zones each is remembered.
"""

from __future__ import annotations

import time
import uuid

from dimse_mesh.mesh import EnvelopeError, JetStream, pack, unpack
from dimse_mesh.schemas.spool import StudyOrigin
from dimse_mesh.schemas.spool_subjects import origin_stream, study_origin, study_token

AGAIN = 3600.0
"""Seconds after which it is noted again that a study comes from a zone."""
MOST_NOTED = 10_000
"""Studies that a process knows it has noted."""
NO_STUDY = study_token("")
"""Stands for every data set whose Study Instance UID can't be read."""
_MOST_ZONES = 64


class Origins:
    """The studies that a zone has received. Every method raises `MeshError` when they can't be reached."""

    def __init__(self, jetstream: JetStream, *, root: str, zone: str) -> None:
        self._jetstream = jetstream
        self._root = root
        self._zone = zone
        self._noted: dict[tuple[str, str], float] = {}

    def knows(self, study: str, source: str) -> bool:
        """Tell whether nothing is to be noted of a study (its token) from a zone: it was, lately, or it needn't be."""
        if study == NO_STUDY or source == self._zone:
            return True
        return time.time() < self._noted.get((study, source), 0.0) + AGAIN

    async def note(self, study: str, *, source: str, calling_ae: str) -> None:
        """Remember that an object of a study (its token) came from another zone; returns when that is on disk."""
        if self.knows(study, source):
            return
        key, now = (study, source), time.time()
        origin = StudyOrigin(source=source, calling_ae=calling_ae, seen=now)
        subject = study_origin(self._root, self._zone, study=study, source=source)
        await self._jetstream.publish(subject, pack(origin), message_id=uuid.uuid4().hex)
        self._noted.pop(key, None)
        self._noted[key] = now
        while len(self._noted) > MOST_NOTED:
            del self._noted[next(iter(self._noted))]

    async def find(self, study: str) -> list[StudyOrigin]:
        """Return from where a study (its token) came."""
        if study == NO_STUDY:
            return []
        batch = await self._jetstream.read(
            origin_stream(self._root, self._zone),
            study_origin(self._root, self._zone, study=study),
            count=_MOST_ZONES,
            max_bytes=1 << 20,
        )
        found = []
        for message in batch.messages:
            try:
                found.append(unpack(StudyOrigin, message.payload)[0])
            except EnvelopeError:  # another major version's
                continue
        return found
