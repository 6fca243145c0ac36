"""Events that must not get lost without a word: nats-server says that they are on disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from dimse_mesh.mesh import MeshError, pack
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.schemas.addresses import InstanceAddress
from dimse_mesh.schemas.event_subjects import event_subject
from dimse_mesh.schemas.events import EventKind
from dimse_mesh.schemas.service import WireModel

log = logging.getLogger(__name__)


PAUSE = 10.0
"""Seconds in which no other event is tried when one could not be stored: objects must not wait for events."""


class EventStore(Protocol):
    """What stores: JetStream."""

    async def publish(self, subject: str, payload: bytes, *, message_id: str) -> int:
        """Store a message.

        Raises:
            MeshError: it isn't stored, or nobody knows.
        """
        ...


class KeptEvents:
    """Writes events about a zone with durable routes into its stream.

    Args:
        zone: that the events are about.
        sender: who says so.
    """

    def __init__(
        self,
        jetstream: EventStore,
        counters: Counters,
        *,
        root: str,
        zone: str,
        sender: InstanceAddress,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._lost_until = 0.0
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
        if self._clock() < self._lost_until:
            self._counters.events_lost += 1
            return False
        try:
            await self._jetstream.publish(self._subjects[kind], pack(event), message_id=message_id)
        except MeshError as error:
            self._counters.events_lost += 1
            self._lost_until = self._clock() + PAUSE
            log.error("events of zone %s are lost for %.0f s: %s", self._zone, PAUSE, error)  # noqa: TRY400
            return False
        self._counters.events_published += 1
        return True
