"""The order of studies whose objects have come by routes of several priorities."""

from __future__ import annotations

from dimse_mesh.mesh import JetStream
from dimse_mesh.schemas.spool import Manifest
from dimse_mesh.schemas.spool_subjects import RoutePriority, SpoolSubjects

MOST_STUDIES = 4096
"""Studies of which is remembered that nothing older waits in another band."""


class StudyOrder:
    """Knows of the studies of one spool whether older objects of another priority wait."""

    def __init__(self, jetstream: JetStream, spool: SpoolSubjects) -> None:
        self._jetstream = jetstream
        self._spool = spool
        self._in_order: dict[str, int] = {}
        """Of a study, up to which sequence number no older object of it waits in another band."""

    def is_known(self, study: str, sequence: int) -> bool:
        """Tell whether nothing older than an object of a study waits, as far as that is known without a look."""
        return sequence <= self._in_order.get(study, 0)

    def note(self, study: str, up_to: int) -> None:
        """Note that up to a sequence number nothing older of a study waits elsewhere."""
        if len(self._in_order) >= MOST_STUDIES:
            self._in_order.clear()
        self._in_order[study] = up_to

    async def oldest_elsewhere(self, manifest: Manifest) -> int | None:
        """Return the sequence number of the oldest object of a study that has another priority; None: there is none.

        Raises:
            MeshError: the spool can't be read.
        """
        found = []
        for priority in RoutePriority:
            if priority is not manifest.priority:
                subject = self._spool.object(study=manifest.study, priority=priority)
                batch = await self._jetstream.read(self._spool.stream, subject, count=1, max_bytes=1)
                found += [message.sequence for message in batch.messages]
        return min(found, default=None)
