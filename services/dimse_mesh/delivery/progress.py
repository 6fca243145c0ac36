"""How far a queue has come, told to its source zone: storage commitment waits for that."""

from __future__ import annotations

import uuid

from dimse_mesh.mesh import JetStream, message_of, pack
from dimse_mesh.schemas.commitment import QueueProgress
from dimse_mesh.schemas.spool_subjects import SpoolSubjects, StateKind


class ProgressReport:
    """Tells up to which sequence number the objects of one spool are settled."""

    def __init__(self, jetstream: JetStream, spool: SpoolSubjects) -> None:
        self._jetstream = jetstream
        self._spool = spool
        self._said: int | None = None

    async def measure(self) -> None:
        """Look, and tell it if it has changed.

        Raises:
            MeshError: the spool can't be seen, or nobody can be told.
        """
        # In this order: what is stored meanwhile stands behind the end that is seen now.
        info = await self._jetstream.request(f"STREAM.INFO.{self._spool.stream}")
        end = int(info["state"]["last_seq"])
        oldest = await message_of(self._jetstream, self._spool.stream, 1, self._spool.object())
        settled = end if oldest is None else min(end, oldest.sequence - 1)
        if settled == self._said:
            return
        await self._jetstream.publish(
            self._spool.state(StateKind.PROGRESS),
            pack(QueueProgress(settled=settled)),
            message_id=uuid.uuid4().hex,
        )
        self._said = settled
