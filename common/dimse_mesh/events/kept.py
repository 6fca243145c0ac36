"""Events that must not get lost without a word: nats-server says that they are on disk."""

from __future__ import annotations

import logging

from dimse_mesh.mesh import JetStream, MeshError, pack
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.schemas.addresses import InstanceAddress
from dimse_mesh.schemas.event_subjects import event_subject
from dimse_mesh.schemas.events import EventKind
from dimse_mesh.schemas.service import WireModel

log = logging.getLogger(__name__)


class KeptEvents:
    """Writes events about a zone with durable routes into its stream.

    Args:
        zone: that the events are about.
        sender: who says so.
    """

    def __init__(
        self, jetstream: JetStream, counters: Counters, *, root: str, zone: str, sender: InstanceAddress
    ) -> None:
        self._jetstream = jetstream
        self._counters = counters
        self._subjects = {kind: event_subject(root, zone, kind, sender) for kind in EventKind}
        self._zone = zone

    def subject(self, kind: EventKind) -> str:
        """Where events of a kind are written."""
        return self._subjects[kind]

    async def keep(self, kind: EventKind, event: WireModel, *, message_id: str) -> bool:
        """Write an event, and return when it is on disk; False: it is lost, which is logged and counted.

        Args:
            message_id: by which nats-server knows an event again that is written twice.
        """
        try:
            await self._jetstream.publish(self._subjects[kind], pack(event), message_id=message_id)
        except MeshError as error:
            self._counters.events_lost += 1
            log.error("an event of zone %s is lost: %s", self._zone, error)  # noqa: TRY400
            return False
        self._counters.events_published += 1
        return True
