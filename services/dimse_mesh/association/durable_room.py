"""What the C-STORE handler of this zone has said of the room in its spools."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial

import anyio

from dimse_mesh.mesh import EnvelopeError, JetStream, Mesh, MeshError, unpack
from dimse_mesh.schemas.spool import SpoolRoom
from dimse_mesh.schemas.spool_subjects import SpoolSubjects, StateKind
from dimse_mesh.spool import NewestWord

log = logging.getLogger(__name__)

_COMMENTS = {
    "full": "the queue of this destination is nearly full",
    "disk": "the disk of the queues is nearly full",
    "frozen": "the queue of this destination can't be written",
}
"""At most 64 characters: they stand in responses (PS3.7 §C.4)."""


class RoomBoard:
    """The newest word about each spool; without one it has room."""

    def __init__(self) -> None:
        self._refusing: dict[SpoolSubjects, str] = {}
        self._words: list[NewestWord] = []

    async def follow(self, mesh: Mesh, jetstream: JetStream, spool: SpoolSubjects) -> None:
        """Hear what is said of a spool from now on, and read what was said last."""
        word = NewestWord(mesh, jetstream, spool, StateKind.ROOM, partial(self._note, spool))
        self._words.append(word)
        await word.follow()
        await self._look(word)

    async def look_again(self, interval: float) -> None:
        """Look every `interval` seconds whether something was missed, until cancelled."""
        while True:
            await anyio.sleep(interval)
            for word in self._words:
                await self._look(word)

    @staticmethod
    async def _look(word: NewestWord) -> None:
        try:
            await word.measure()
        except MeshError as error:
            log.debug("what was said of a spool's room can't be read: %s", error)

    def _note(self, spool: SpoolSubjects, payload: bytes) -> None:
        try:
            room, _ = unpack(SpoolRoom, payload)
        except EnvelopeError:
            return
        before = self._refusing.get(spool, "")
        if room.refusing != before:
            if room.refusing:
                log.warning("%s: clients are refused: %s", spool, self.comment_on(room.refusing))
            else:
                log.info("%s: clients are served again", spool)
        self._refusing[spool] = room.refusing

    @staticmethod
    def comment_on(why: str) -> str:
        """Return what a client is told."""
        return _COMMENTS.get(why, "this destination takes nothing now")

    def objection(self, spools: Iterable[SpoolSubjects]) -> str | None:
        """Return what a client is told that wants to store into these spools; None: there is room."""
        why = next((why for spool in spools if (why := self._refusing.get(spool, ""))), "")
        return self.comment_on(why) if why else None

    def lack(self) -> str | None:
        """Return why this front-end isn't ready: some spool takes nothing; None: all do."""
        for spool, why in self._refusing.items():
            if why:
                return f"{spool.label}: {self.comment_on(why)}"
        return None
