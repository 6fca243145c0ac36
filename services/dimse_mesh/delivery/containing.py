"""Keep an error of ours at one object: the others, and the queues beside it, go on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Final

from dimse_mesh.client import Context
from dimse_mesh.delivery.outcomes import DeliveryOutcome, failed_by_us
from dimse_mesh.delivery.taker import Taker, TakerInFront
from dimse_mesh.mesh import MeshError
from dimse_mesh.runtime.logging import EventLog
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.spool import SpooledObject

log: Final = EventLog("dimse_mesh.delivery")


class ContainingTaker(TakerInFront):
    """A taker whose errors are outcomes of the object that it was given."""

    def __init__(self, taker: Taker, spool: SpoolSubjects) -> None:
        super().__init__(taker)
        self._spool = spool

    async def deliver(
        self,
        spooled: SpooledObject,
        data_set: AsyncIterator[bytes | memoryview],
        *,
        attempts: int,
        ahead: Iterable[Context],
    ) -> DeliveryOutcome:
        """Let an object be delivered.

        Raises:
            MeshError: a spool can't be read or written now.
        """
        try:
            return await super().deliver(spooled, data_set, attempts=attempts, ahead=ahead)
        except MeshError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, other objects shall go on
            log.failure(
                "an object was not delivered, by a fault of ours",
                error,
                spool=str(self._spool),
                object=spooled.manifest.object_id,
            )
            self._taker.abort()
            return failed_by_us(error, attempts)
