"""Tells by events what has become of the objects of a spool: the zone that has kept them, and the AE's own."""

from __future__ import annotations

import time

from dimse_mesh.delivery.outcomes import DeliveryOutcome
from dimse_mesh.events import EventPublisher, KeptEvents, event_uid, new_event_id
from dimse_mesh.mesh import JetStream
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.schemas.events import EventKind, ObjectSettled, ObjectStored
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.spool import SpooledObject


class DeliveryEvents:
    """Of one spool.

    Args:
        publisher: of the events of this service's own zone; None: it publishes none.
        ae: the AE of this zone that the spool is for; empty: it is for hooks.
    """

    def __init__(
        self,
        context: ServiceContext,
        jetstream: JetStream,
        spool: SpoolSubjects,
        publisher: EventPublisher | None,
        ae: str,
    ) -> None:
        self._jetstream = jetstream
        self._spool = spool
        self._publisher = publisher
        self._ae = ae
        self._kept = KeptEvents(
            jetstream, context.counters, root=spool.root, zone=spool.zone, sender=context.mesh.address
        )
        self._is_heard = False

    async def measure(self) -> None:
        """Look whether the zone that has kept the objects wants to know.

        Raises:
            MeshError: it can't be seen.
        """
        subject = self._kept.subject(EventKind.OBJECT_DELIVERED)
        self._is_heard = bool(await self._jetstream.streams(subject))

    async def delivered(self, spooled: SpooledObject, outcome: DeliveryOutcome) -> None:
        """Tell that the AE has an object, before that is removed: who is killed in between delivers and tells again."""
        manifest = spooled.manifest
        if self._spool.is_on_its_way:
            return
        if self._publisher is not None:
            self._publisher.publish(
                EventKind.OBJECT_STORED,
                ObjectStored.model_construct(
                    id=new_event_id(),
                    at=time.time(),
                    ae=self._ae,
                    calling_ae=manifest.calling_ae,
                    called_ae=manifest.called_ae,
                    from_zone=self._spool.zone,
                    association=None,
                    sop_class=event_uid(manifest.sop_class),
                    sop_instance=event_uid(manifest.sop_instance),
                    study=event_uid(manifest.study_instance_uid),
                    status=outcome.status or 0,
                    delivery="durable",
                ),
            )
        await self._settled(EventKind.OBJECT_DELIVERED, spooled, outcome)

    async def failed(self, spooled: SpooledObject, outcome: DeliveryOutcome) -> None:
        """Tell that an object is a dead letter."""
        await self._settled(EventKind.OBJECT_FAILED, spooled, outcome)

    async def _settled(self, kind: EventKind, spooled: SpooledObject, outcome: DeliveryOutcome) -> None:
        if not self._is_heard:
            return
        manifest = spooled.manifest
        await self._kept.keep(
            kind,
            ObjectSettled.model_construct(
                id=new_event_id(),
                at=time.time(),
                destination=self._spool.label,
                calling_ae=manifest.calling_ae,
                called_ae=manifest.called_ae,
                sop_class=event_uid(manifest.sop_class),
                sop_instance=event_uid(manifest.sop_instance),
                study=event_uid(manifest.study_instance_uid),
                cause=outcome.cause.value,
            ),
            message_id=self._spool.fate_id(manifest.object_id, kind, spooled.sequence),
        )
