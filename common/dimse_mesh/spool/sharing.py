"""Pieces that several destinations share: there as long as one of them needs them.

Each destination that has the manifest of an object has a reference to its pieces, too, in its own spool. References
are written before the first manifest, and removed behind it. So pieces to which no destination refers any more are
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from dimse_mesh.mesh import JetStream, message_of
from dimse_mesh.schemas.spool import Manifest
from dimse_mesh.schemas.spool_subjects import ANY_TOKEN, Share, SpoolSubjects

SUBJECT_WEIGHT = 1 << 10
"""Bytes that a subject counts for which nats-server has listed."""


@dataclass(frozen=True, slots=True)
class Orphans:
    """What was found of objects that aren't whole.

    Attributes:
        pieces: how many messages, by object id.
        weight: how much work the look was: about as much as to read so many bytes.
    """

    pieces: dict[str, int]
    weight: int


class SharedPieces:
    """What one set of destinations shares. Every method raises `MeshError` when it can't be reached."""

    def __init__(self, jetstream: JetStream, share: Share) -> None:
        self._jetstream = jetstream
        self._spool = share.spool
        self._members = share.members

    async def release(self, object_id: str) -> bool:
        """Remove the pieces of an object if no destination refers to them; return whether there were any."""
        for member in self._members:
            # As the stream's leader knows it: another replica might not have the reference yet.
            if await message_of(self._jetstream, member.stream, 1, member.reference(object_id)) is not None:
                return False
        return await self.purge_pieces(object_id) > 0

    async def purge_pieces(self, object_id: str) -> int:
        """Remove the pieces of an object; return how many there were."""
        return await self._jetstream.purge(self._spool.stream, self._spool.chunk(object_id))

    async def orphans(self) -> Orphans:
        """Return the pieces to which no destination refers.

        An object that is coming in now is among them.
        """
        counts = await self._jetstream.counts(self._spool.stream, self._spool.chunk(ANY_TOKEN))
        found = {subject.rpartition(".")[2]: count for subject, count in counts.items()}
        subjects = len(found)
        # In this order: a reference that is stored meanwhile is seen.
        for member in self._members if found else ():
            references = await self._jetstream.counts(member.stream, member.reference(ANY_TOKEN))
            subjects += len(references)
            for subject in references:
                found.pop(subject.rpartition(".")[2], None)
        return Orphans(found, subjects * SUBJECT_WEIGHT)


async def remove_pieces(jetstream: JetStream, spool: SpoolSubjects, manifest: Manifest) -> None:
    """Remove the pieces of an object that a destination has done with; shared ones when all have.

    Raises:
        MeshError: they stay for the keeper.
    """
    if not manifest.chunks:
        return
    if manifest.shared is None:
        await jetstream.purge(spool.stream, spool.chunk(manifest.object_id))
        return
    await jetstream.purge(spool.stream, spool.reference(manifest.object_id))
    jetstream.tell(spool.sharing(manifest.shared).released(manifest.object_id))
