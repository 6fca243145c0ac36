"""Put objects among the dead letters of their spool."""

from __future__ import annotations

import time

from dimse_mesh.delivery.outcomes import DeliveryOutcome
from dimse_mesh.mesh import JetStream, pack
from dimse_mesh.schemas.spool import MOST_ANSWER, DeadLetter
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.spool import SpooledObject


async def store_dead_letter(
    jetstream: JetStream,
    spool: SpoolSubjects,
    spooled: SpooledObject,
    outcome: DeliveryOutcome,
    *,
    attempts: int = 0,
) -> None:
    """Store an object as a dead letter; when that is tried again it stands there once.

    Args:
        outcome: why it is one.
        attempts: how often it was sent.

    Raises:
        MeshError: it can't be stored now.
    """
    manifest = spooled.manifest
    letter = DeadLetter(
        manifest=manifest,
        cause=outcome.cause.value,
        detail=outcome.detail[:1024],
        status=outcome.status,
        answer=outcome.answer[:MOST_ANSWER].hex(),
        attempts=attempts,
        failed=time.time(),
    )
    await jetstream.publish(
        spool.failed(calling_ae=manifest.calling_ae, study=manifest.study),
        pack(letter, spooled.command.encode()),
        bytes(spooled.tail),
        message_id=f"{manifest.object_id}.failed.{spooled.sequence}",
    )
