"""What a destination is known to accept: remembered over restarts, in the source zone's stream."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable

from dimse_mesh.mesh import EnvelopeError, JetStream, pack, unpack
from dimse_mesh.schemas.spool import MOST_CONTEXTS, KnownContext, KnownContexts
from dimse_mesh.schemas.spool_subjects import SpoolSubjects, StateKind

ContextKey = tuple[str, str]
"""SOP class and transfer syntax."""


class Knowledge:
    """The presentation contexts that one destination has accepted or rejected."""

    def __init__(self, jetstream: JetStream, spool: SpoolSubjects) -> None:
        self._jetstream = jetstream
        self._spool = spool
        self._contexts: dict[ContextKey, KnownContext] = {}
        self.asked = 0.0
        """When the destination said so last: seconds since 1970."""

    async def load(self) -> None:
        """Read what former processes have learnt.

        Raises:
            MeshError: it can't be read.
        """
        found = await self._jetstream.last(self._spool.state_stream, self._spool.state(StateKind.KNOWN))
        if found is None:
            return
        try:
            known, _ = unpack(KnownContexts, found.payload)
        except EnvelopeError:  # another major version's: learn it again
            return
        self._contexts = {(context.sop_class, context.transfer_syntax): context for context in known.contexts}
        self.asked = known.asked

    def get(self, sop_class: str, transfer_syntax: str) -> KnownContext | None:
        """Return what is known of one SOP class in one transfer syntax; None: nothing."""
        return self._contexts.get((sop_class, transfer_syntax))

    async def learn(self, contexts: Iterable[KnownContext]) -> None:
        """Remember what the destination has just said.

        Raises:
            MeshError: it can't be kept over a restart.
        """
        for context in contexts:
            key = (context.sop_class, context.transfer_syntax)
            self._contexts.pop(key, None)
            self._contexts[key] = context
        while len(self._contexts) > MOST_CONTEXTS:
            del self._contexts[next(iter(self._contexts))]
        self.asked = time.time()
        known = KnownContexts(contexts=tuple(self._contexts.values()), asked=self.asked)
        await self._jetstream.publish(
            self._spool.state(StateKind.KNOWN), pack(known), message_id=uuid.uuid4().hex
        )
