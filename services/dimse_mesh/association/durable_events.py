"""Tells by events, kept on disk, what a front-end has acknowledged and reported on durable routes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Self

from dimse_mesh.events import KeptEvents, event_uid, new_event_id
from dimse_mesh.mesh import JetStream
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.schemas.commitment import CommitmentRequest
from dimse_mesh.schemas.events import CommitmentReported, EventKind, ObjectAccepted
from dimse_mesh.schemas.spool import Manifest


class DurableEvents:
    """Of one front-end."""

    def __init__(self, kept: KeptEvents) -> None:
        self._kept = kept

    @classmethod
    def of(cls, context: ServiceContext, jetstream: JetStream) -> Self | None:
        """Return the events of a front-end; None: its zone publishes none."""
        settings = context.settings
        if not settings.events.enabled:
            return None
        return cls(
            KeptEvents(
                jetstream,
                context.counters,
                root=settings.subject_root,
                zone=settings.zone,
                sender=context.mesh.address,
            )
        )

    async def accepted(self, association: str, destinations: Sequence[str], manifest: Manifest) -> None:
        """Tell of an object that its client is going to be told is stored.

        Whoever is killed before this has not answered, and the client sends the object again.
        """
        await self._kept.keep(
            EventKind.OBJECT_ACCEPTED,
            ObjectAccepted.model_construct(
                id=new_event_id(),
                at=manifest.received,
                association=association,
                calling_ae=manifest.calling_ae,
                called_ae=manifest.called_ae,
                destinations=tuple(destinations),
                sop_class=event_uid(manifest.sop_class),
                sop_instance=event_uid(manifest.sop_instance),
                study=event_uid(manifest.study_instance_uid),
            ),
            message_id=f"{manifest.object_id}.accepted",
        )

    async def reported(self, request: CommitmentRequest, *, failed: int) -> None:
        """Tell of a request for storage commitment whose requestor has taken the report."""
        await self._kept.keep(
            EventKind.COMMITMENT_REPORTED,
            CommitmentReported.model_construct(
                id=request.request_id,
                at=time.time(),
                calling_ae=request.calling_ae,
                called_ae=request.called_ae,
                instances=request.instances,
                failed=failed,
            ),
            message_id=f"{request.request_id}.reported",
        )
