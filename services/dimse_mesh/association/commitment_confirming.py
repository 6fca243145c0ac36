"""Ask the destinations of a route with `commitment: target` for their own storage commitment, before it is reported.

What a destination has answered to C-STORE is known by then. The question goes into the destination's spool; the
delivery service of the destination's zone asks (N-ACTION), hears (N-EVENT-REPORT), and answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from dimse_mesh.association.commitment_fates import Fates, not_confirmed, to_be_confirmed, without
from dimse_mesh.dimse import Status
from dimse_mesh.dimse.commitment import CommitmentResult, Reference
from dimse_mesh.mesh import JetStream, PayloadTooLarge
from dimse_mesh.runtime.counters_durable import CommitmentCounters
from dimse_mesh.schemas.commitment import AnswerOutcome, CommitmentRequest
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.schemas.tokens import id_of
from dimse_mesh.spool import Questions

log = logging.getLogger(__name__)

PUT_AGAIN = 60.0
"""Seconds without a last word after which a question is put once more: an operator may have emptied the spool."""


class Confirming:
    """The questions of one front-end.

    Args:
        spools: of the zone.
    """

    def __init__(
        self, jetstream: JetStream, spools: Sequence[SpoolSubjects], counters: CommitmentCounters
    ) -> None:
        self._questions = {spool.label: Questions(jetstream, spool) for spool in spools}
        self._counters = counters
        self._put: dict[str, float] = {}
        """Loop time at which each question was put last."""

    async def confirm(
        self, request: CommitmentRequest, result: CommitmentResult, fates: Sequence[Fates], *, is_over: bool
    ) -> tuple[CommitmentResult | None, str]:
        """Return what is to be reported when the destinations have said their part, and what one of them says now.

        None: a destination hasn't yet.

        Args:
            result: what is to be reported by what they have answered to C-STORE.
            fates: at the destinations that are asked.
            is_over: nothing is waited for any more.

        Raises:
            MeshError: the questions or answers can't be reached.
        """
        failed: dict[str, int] = {}
        awaits: list[str] = []
        for each in fates:
            for destination, asked in to_be_confirmed(result, each).items():
                found, word = await self._at(request, destination, asked)
                if found is not None:
                    failed |= found
                elif is_over:
                    failed |= dict.fromkeys(asked, Status.PROCESSING_FAILURE)
                else:
                    awaits.append(f"{destination}: {word}")
        if awaits:
            return None, "; ".join(awaits)
        return without(result, failed), ""

    async def _at(
        self, request: CommitmentRequest, destination: str, asked: Mapping[str, Reference]
    ) -> tuple[Mapping[str, int] | None, str]:
        """Return which instances one destination isn't committed to; None: it isn't known, and the word says why.

        Raises:
            MeshError: as `confirm`.
        """
        questions = self._questions.get(destination)
        if questions is None:  # redirected to what is no destination of this zone any more
            return {}, ""
        question_id = _question_id(request, destination)
        answered = await questions.answer(question_id)
        if answered is None or answered.answer.outcome is AnswerOutcome.PENDING:
            loop = asyncio.get_running_loop()
            if loop.time() - self._put.get(question_id, float("-inf")) > PUT_AGAIN:
                try:
                    await questions.ask(question_id, asked.values())
                except PayloadTooLarge:
                    log.error("%s can't be asked for so many instances at once", destination)  # noqa: TRY400
                    return dict.fromkeys(asked, Status.RESOURCE_LIMITATION), ""
                self._put[question_id] = loop.time()
            word = "it isn't asked yet for its own storage commitment"
            return None, word if answered is None else answered.answer.detail
        answer = answered.answer
        self._put.pop(question_id, None)
        if answered.result is not None:
            return not_confirmed(asked, answered.result), ""
        self._counters.count(answer.outcome.value)
        if answer.outcome is AnswerOutcome.NOT_OFFERED:
            log.warning(
                "%s doesn't offer storage commitment (%s): what it has answered to C-STORE counts for %s",
                destination,
                answer.detail,
                request.calling_ae,
            )
            return {}, ""
        log.warning(
            "%s has not reported in time whether it is committed to %d instances of %s: %s",
            destination,
            len(asked),
            request.calling_ae,
            answer.detail,
        )
        return dict.fromkeys(asked, Status.PROCESSING_FAILURE), ""


def _question_id(request: CommitmentRequest, destination: str) -> str:
    """Return the id of a question; what one destination is asked by tells nothing of another's."""
    return id_of(request.secret or request.request_id, destination)
