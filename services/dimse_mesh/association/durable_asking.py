"""Ask a destination what it accepts, through the mesh, by an association on which nothing is sent."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import anyio

from dimse_mesh.client import MAX_CONTEXTS, AssociationError, DicomClient, InProcessLine, Proposal
from dimse_mesh.endpoint.in_process_peer import InProcessPeer
from dimse_mesh.mesh import MeshError
from dimse_mesh.runtime.settings_durable import SpoolSettings
from dimse_mesh.schemas.spool import KnownContext
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.spool import Knowledge

log = logging.getLogger(__name__)

PAUSE = 30.0
"""Seconds in which a destination that gave no answer isn't asked again."""

Live = Callable[[], InProcessPeer]
"""Makes a client in this process whose association goes to the destination itself."""


class Asker:
    """Asks one destination. Several clients at once share one question."""

    def __init__(self, knowledge: Knowledge, settings: SpoolSettings, spool: SpoolSubjects) -> None:
        self._knowledge = knowledge
        self._settings = settings
        self._spool = spool
        self._asking = anyio.Lock()
        self._silent_until = 0.0

    async def ask(
        self, pairs: Sequence[tuple[str, str]], *, called_ae: str, calling_ae: str, live: Live
    ) -> None:
        """Learn of these SOP classes and transfer syntaxes what isn't known, or is known from long ago.

        A destination that doesn't answer, or rejects the association, leaves it at what is known.
        """
        async with self._asking:
            if time.time() < self._silent_until:
                return
            old = time.time() - self._knowledge.asked > self._settings.ask_again
            wanted = [pair for pair in pairs if old or self._knowledge.get(*pair) is None][:MAX_CONTEXTS]
            if not wanted:
                return
            with anyio.move_on_after(self._settings.ask_timeout) as scope:
                try:
                    words = await self._answers(wanted, called_ae, calling_ae, live)
                    await self._knowledge.learn(words)
                except (AssociationError, ValueError) as error:  # or a title that nobody may have
                    log.info("%s: the destination does not say what it accepts: %s", self._spool, error)
                    self._silent_until = time.time() + PAUSE
                except MeshError as error:
                    log.warning("%s: what it accepts could not be kept: %s", self._spool, error)
            if scope.cancelled_caught:
                self._silent_until = time.time() + PAUSE

    async def _answers(
        self, wanted: Sequence[tuple[str, str]], called_ae: str, calling_ae: str, live: Live
    ) -> list[KnownContext]:
        client = DicomClient(InProcessLine(live()))
        try:
            proposals = [Proposal(sop_class, (syntax,)) for sop_class, syntax in wanted]
            await client.associate(called_ae=called_ae, calling_ae=calling_ae, proposals=proposals)
            words = [
                KnownContext(
                    sop_class=sop_class,
                    transfer_syntax=syntax,
                    accepted=client.results[number] == 0,
                    result=client.results[number],
                )
                for number, (sop_class, syntax) in zip(range(1, 256, 2), wanted, strict=False)
                if number in client.results
            ]
            await client.release()
        finally:
            client.close()
        return words
