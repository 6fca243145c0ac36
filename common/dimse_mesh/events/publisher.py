"""Publish events at once, and those that NATS does not take when it takes them again."""

from __future__ import annotations

import logging
import re
import uuid
from collections import deque
from collections.abc import Callable
from typing import Protocol

from dimse_mesh.mesh import pack
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.schemas.addresses import InstanceAddress
from dimse_mesh.schemas.event_subjects import event_subject
from dimse_mesh.schemas.events import EventKind
from dimse_mesh.schemas.service import WireModel

log = logging.getLogger(__name__)

_UID = re.compile(r"[0-9.]{1,64}")


class EventCarrier(Protocol):
    """What publishes: the mesh."""

    @property
    def address(self) -> InstanceAddress:
        """The instance's own."""

    def publish(self, subject: str, payload: bytes) -> bool:
        """Publish; False: it can't now."""

    def on_change(self, callback: Callable[[bool], None]) -> None:
        """Call back when the connection comes and goes."""


class EventPublisher:
    """Of one instance. Publishing never waits.

    Args:
        zone: that the events are about.
        max_waiting: events that are kept while NATS is away.
    """

    def __init__(
        self, mesh: EventCarrier, counters: Counters, *, root: str, zone: str, max_waiting: int
    ) -> None:
        self._mesh = mesh
        self._counters = counters
        self._subjects = {kind: event_subject(root, zone, kind, mesh.address) for kind in EventKind}
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._max_waiting = max_waiting
        mesh.on_change(self._mesh_changed)

    def publish(self, kind: EventKind, event: WireModel) -> None:
        """Publish an event, in its place behind those that wait."""
        self._waiting.append((self._subjects[kind], pack(event)))
        self._flush()
        if len(self._waiting) > self._max_waiting:
            self._waiting.popleft()
            if not self._counters.events_lost:
                log.warning("events are lost: NATS is away, and more than %d wait", self._max_waiting)
            self._counters.events_lost += 1

    def _mesh_changed(self, connected: bool) -> None:
        if connected:
            self._flush()

    def _flush(self) -> None:
        while self._waiting and self._mesh.publish(*self._waiting[0]):
            self._waiting.popleft()
            self._counters.events_published += 1


def event_publisher(context: ServiceContext) -> EventPublisher | None:
    """Return who publishes the events of a service; None: its zone publishes none."""
    settings = context.settings
    if not settings.events.enabled:
        return None
    return EventPublisher(
        context.mesh,
        context.counters,
        root=settings.subject_root,
        zone=settings.zone,
        max_waiting=settings.events.max_waiting,
    )


def new_event_id() -> str:
    """Return an id that no other event has."""
    return uuid.uuid4().hex


def event_uid(text: str | None) -> str:
    """Return a UID that a peer has sent; nothing if it is none, since it could be anything then."""
    return text if text is not None and _UID.fullmatch(text) else ""
