"""Keep what can't be opened from a destination: whether it can is seen before anything is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

from dimse_mesh.client import Context
from dimse_mesh.delivery.outcomes import DeliveryCause, DeliveryOutcome, Scope
from dimse_mesh.delivery.taker import Taker, TakerInFront
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.spool import SpooledObject, encryption_refusal

if TYPE_CHECKING:
    from dimse_mesh.encryption.objects import ObjectEncryption


class DecipheringTaker(TakerInFront):
    """A taker of a spool's objects, who gets only those that this zone has keys for, or that may be in the clear.

    A key that is missing may come with the next configuration: so what can't be opened waits.

    Args:
        encryption: of our zone; None: it has none.
    """

    def __init__(self, taker: Taker, spool: SpoolSubjects, encryption: ObjectEncryption | None) -> None:
        super().__init__(taker)
        self._spool = spool
        self._encryption = encryption

    async def deliver(
        self,
        spooled: SpooledObject,
        data_set: AsyncIterator[bytes | memoryview],
        *,
        attempts: int,
        ahead: Iterable[Context],
    ) -> DeliveryOutcome:
        """Look whether an object can be opened, then let it be delivered.

        Raises:
            MeshError: a spool can't be read or written now.
        """
        refusal = encryption_refusal(self._encryption, self._spool, spooled)
        if refusal is not None:
            scope = Scope.DEAD_LETTER if refusal.code == "encryption-broken" else Scope.DESTINATION
            return DeliveryOutcome(DeliveryCause.ENCRYPTION, f"{refusal.code}: {refusal}", scope=scope)
        return await super().deliver(spooled, data_set, attempts=attempts, ahead=ahead)
