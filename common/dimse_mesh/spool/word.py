"""The newest word of one kind about a spool: heard when it is said, and looked up, since one that was missed stands."""

from __future__ import annotations

from collections.abc import Callable

from dimse_mesh.mesh import JetStream, Mesh, Message
from dimse_mesh.schemas.spool_subjects import SpoolSubjects, StateKind


class NewestWord:
    """Follows a word; what is said while a line to it is down isn't heard, so look again and again.

    Args:
        heard: is given each word that is said, as a message's payload, though it be the same again; and what was
            missed.
    """

    def __init__(
        self,
        mesh: Mesh,
        jetstream: JetStream,
        spool: SpoolSubjects,
        kind: StateKind,
        heard: Callable[[bytes], None],
    ) -> None:
        self._mesh = mesh
        self._jetstream = jetstream
        self._spool = spool
        self._subject = spool.state(kind)
        self._heard = heard
        self._newest: bytes | None = None
        self._seen = 0
        """Sequence number of the word that was looked up last. One that was heard may not be stored: disks fill."""
        self._was_heard = False
        """Something was heard since the last look: a copy of the stream that is looked at may not have it yet."""

    async def follow(self) -> None:
        """Hear what is said from now on."""
        await self._mesh.subscribe(self._subject, self._said)

    async def measure(self) -> None:
        """Look whether something was missed.

        Raises:
            MeshError: it can't be seen.
        """
        was_heard, self._was_heard = self._was_heard, False
        if was_heard:
            return
        last = await self._jetstream.last(self._spool.state_stream, self._subject)
        if last is None or self._was_heard or last.sequence == self._seen:
            return
        self._seen = last.sequence
        if last.payload != self._newest:
            self._take(last.payload)

    def _said(self, message: Message) -> None:
        self._was_heard = True
        self._take(message.payload)

    def _take(self, word: bytes) -> None:
        self._newest = word
        self._heard(word)
