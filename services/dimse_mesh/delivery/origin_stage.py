"""Take objects on by the origin of their study: from the spool of a zone's routes by origin to a destination's spool.

That a study came from a zone is noted before its first object is sent to an AE, so that a result can't be faster. An
object goes into the next spool before it leaves this one, under the same id each time: after a crash between the two
it is there once, or twice and the same both times.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Collection, Iterable
from typing import TYPE_CHECKING

from dimse_mesh.client import Context
from dimse_mesh.delivery.outcomes import DeliveryCause, DeliveryOutcome, Scope
from dimse_mesh.delivery.taker import Taker, TakerInFront
from dimse_mesh.mesh import JetStream, StreamFull
from dimse_mesh.runtime.routing import Delivery, Destination, Route
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.runtime.spools import spool_of
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects
from dimse_mesh.spool import (
    DamagedObject,
    NoteAcknowledged,
    Origins,
    SpooledObject,
    facts_of,
    id_there,
    pass_on,
)

if TYPE_CHECKING:
    from dimse_mesh.encryption.objects import ObjectEncryption

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds after an object's arrival for which it waits that its study's origin becomes known."""


def choose(route: Route, sources: Collection[str]) -> tuple[Destination, str]:
    """Return where an object of a route by origin goes, and why it is not where its study came from.

    Args:
        sources: zones that its study came from.
    """
    assert route.to is not None  # of a durable route
    meant = [zone for zone in route.by_origin if zone in sources]
    if len(meant) == 1:
        return route.by_origin[meant[0]], ""
    if meant:
        return route.to, f"its study came from several zones: {', '.join(meant)}"
    return (
        route.to,
        "the route names no zone that its study came from" if sources else "nobody knows its study",
    )


class RememberingTaker(TakerInFront):
    """A destination whose zone remembers from where each study came."""

    def __init__(self, taker: Taker, origins: Origins, *, source: str) -> None:
        super().__init__(taker)
        self._origins = origins
        self._source = source

    async def deliver(
        self,
        spooled: SpooledObject,
        data_set: AsyncIterator[bytes | memoryview],
        *,
        attempts: int,
        ahead: Iterable[Context],
    ) -> DeliveryOutcome:
        """Note the origin of an object's study, then deliver the object.

        Raises:
            MeshError: it can't be noted, or the spool can't be read.
        """
        manifest = spooled.manifest
        await self._origins.note(manifest.study, source=self._source, calling_ae=manifest.calling_ae)
        return await super().deliver(spooled, data_set, attempts=attempts, ahead=ahead)


class OriginStage:
    """Takes the objects of a zone's routes by origin to the spools of their destinations.

    Args:
        note: is told of each object that stands there.
    """

    def __init__(
        self,
        jetstream: JetStream,
        spool: SpoolSubjects,
        settings: ZoneSettings,
        origins: Origins,
        *,
        max_payload: int,
        note: NoteAcknowledged,
        encryption: ObjectEncryption | None = None,
    ) -> None:
        self._encryption = encryption
        self._jetstream = jetstream
        self._spool = spool
        self._settings = settings
        self._origins = origins
        self._max_payload = max_payload
        self._note = note

    @property
    def is_open(self) -> bool:
        """Never: there is no association."""
        return False

    async def deliver(
        self,
        spooled: SpooledObject,
        data_set: AsyncIterator[bytes | memoryview],
        *,
        attempts: int,  # noqa: ARG002 - a spool doesn't refuse an object for itself
        ahead: Iterable[Context],  # noqa: ARG002 - of associations
    ) -> DeliveryOutcome:
        """Take an object on; return how it ended.

        Raises:
            MeshError: a spool can't be read or written now.
        """
        manifest = spooled.manifest
        route = self._route_of(spooled)
        if route is None:
            detail = "its route is not in the configuration any more, or goes by origin no more"
            return DeliveryOutcome(DeliveryCause.ORIGIN_UNKNOWN, detail, scope=Scope.DEAD_LETTER)
        sources = {origin.source for origin in await self._origins.find(manifest.study)}
        if not sources and time.time() < manifest.received + PATIENCE:
            detail = "nobody has said yet where its study came from"
            return DeliveryOutcome(DeliveryCause.ORIGIN_UNKNOWN, detail, scope=Scope.STUDY)
        destination, why = choose(route, sources)
        target = spool_of(self._settings, destination)
        if why:
            log.warning(
                "object %s of %s goes to %s: %s", manifest.object_id, self._spool.label, target.label, why
            )
        try:
            called = manifest.called_ae
            if target.kind is DestinationKind.AE and route.called_ae is None:
                called = target.name  # its own title: the client can't know which destination it will be
            await pass_on(
                self._jetstream,
                target,
                self._settings.spool,
                spooled.command,
                data_set,
                facts={**facts_of(manifest), "called_ae": called, "origin": manifest.object_id},
                max_payload=self._max_payload,
                note=self._note,
                encryption=self._encryption,
                object_id=id_there(manifest.object_id, target),
            )
        except DamagedObject as damage:
            return DeliveryOutcome(DeliveryCause.DAMAGED, str(damage), scope=Scope.DEAD_LETTER)
        except StreamFull:
            detail = f"the queue of {target.label} is full"
            return DeliveryOutcome(DeliveryCause.OUT_OF_RESOURCES, detail, scope=Scope.STUDY)
        return DeliveryOutcome(DeliveryCause.DELIVERED, tried=True, redirected_to=target.label)

    async def close(self) -> None:
        """Nothing is open."""

    def abort(self) -> None:
        """Nothing: what is half written is removed where that is noticed."""

    def _route_of(self, spooled: SpooledObject) -> Route | None:
        """Return the object's route as it is now; None: it goes by origin no more."""
        key = spooled.manifest.route
        route = next((route for route in self._settings.routes if route.key == key), None)
        return route if route is not None and route.delivery is Delivery.DURABLE and route.by_origin else None
