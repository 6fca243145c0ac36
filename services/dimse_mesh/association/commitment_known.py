"""What the receipts say of the instances of a request for storage commitment."""

from __future__ import annotations

from collections.abc import Iterable

from dimse_mesh.association.commitment_fates import Fates, redirected
from dimse_mesh.dimse.commitment import CommitmentAction
from dimse_mesh.mesh import JetStream
from dimse_mesh.schemas.commitment import Receipt, WaitedFor
from dimse_mesh.schemas.spool_subjects import SpoolSubjects, hidden_instance
from dimse_mesh.spool import Receipts

MOST_REDIRECTIONS = 3
"""How often an instance may have been sent to yet another destination until it is lost sight of."""


class KnownFates:
    """The receipts of a zone's destinations.

    Args:
        spools: of the zone.
    """

    def __init__(self, jetstream: JetStream, spools: Iterable[SpoolSubjects]) -> None:
        self._receipts = {spool.label: Receipts(jetstream, spool) for spool in spools}

    def __contains__(self, waited_for: WaitedFor) -> bool:
        """Tell whether a destination, and the entrance before its hooks, are of this zone still."""
        return {
            waited_for.destination,
            waited_for.entrance or waited_for.destination,
        } <= self._receipts.keys()

    async def horizon(self, spool: SpoolSubjects) -> int:
        """Return how far a destination has to come until all that was stored before now is settled.

        Raises:
            MeshError: it can't be read.
        """
        return await self._receipts[spool.label].horizon()

    async def fates(self, waited_for: WaitedFor, action: CommitmentAction) -> Fates:
        """Return what became of a request's instances at one destination, wherever an operator has sent them.

        Raises:
            MeshError: it can't be read.
        """
        receipts = self._receipts[waited_for.destination]
        entrance = self._receipts[waited_for.entrance or waited_for.destination]
        instances = [reference.sop_instance for reference in action.references]
        settled = await entrance.progress() >= waited_for.horizon  # before the receipts: they come first
        before_hooks = await entrance.find(instances) if waited_for.entrance else {}
        # Behind hooks an instance is known by another UID.
        find = _find_hidden if waited_for.entrance else Receipts.find
        found = await find(receipts, instances)
        holders = dict.fromkeys(found, waited_for.destination)
        for _ in range(MOST_REDIRECTIONS):
            for destination, elsewhere in redirected(found).items():
                if destination in self._receipts:
                    moved = await find(self._receipts[destination], elsewhere)
                    found |= moved
                    holders |= dict.fromkeys(moved, destination)
        return Fates(found, settled, before_hooks, holders)


async def _find_hidden(receipts: Receipts, instances: Iterable[str]) -> dict[str, Receipt]:
    """Return the newest receipt of each instance that has one behind its hooks."""
    known = {hidden_instance(instance): instance for instance in instances}
    found = await receipts.find(known)
    return {known[hidden]: receipt for hidden, receipt in found.items()}
