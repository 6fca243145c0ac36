"""Questions of a source zone: is a destination itself committed to these instances (storage commitment)?

A front-end of the source zone puts a question into the destination's spool, where the delivery service of the
destination's zone finds it. The answer stands among the receipts.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from dimse_mesh.dimse.commitment import (
    CommitmentAction,
    CommitmentResult,
    Reference,
    encode_action,
    encode_result,
    read_action,
    read_result,
)
from dimse_mesh.dimse.encoding import EXPLICIT_LE
from dimse_mesh.mesh import (
    EnvelopeError,
    JetStream,
    WrongLastSequence,
    pack,
    remove_message,
    unpack,
)
from dimse_mesh.schemas.commitment import AnswerOutcome, CommitmentAnswer, CommitmentQuestion
from dimse_mesh.schemas.spool_subjects import ANY_TOKEN, SpoolSubjects

BATCH = 64
BATCH_BYTES = 8 << 20
NO_TRANSACTION = "2.25.0"
"""Stands where the transaction of a question will: whoever asks the destination makes one."""


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A question that isn't answered yet."""

    sequence: int
    question: CommitmentQuestion
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class QuestionAnswer:
    """The newest word about a question; `result` is the destination's report, if it has given one."""

    answer: CommitmentAnswer
    result: CommitmentResult | None = None


class Questions:
    """The questions to one destination. Every method raises `MeshError` when they can't be reached."""

    def __init__(self, jetstream: JetStream, spool: SpoolSubjects) -> None:
        self._jetstream = jetstream
        self._spool = spool

    # --- the source zone's side

    async def ask(self, question_id: str, references: Iterable[Reference]) -> None:
        """Put a question, unless it stands there already."""
        question = CommitmentQuestion(question_id=question_id, asked=time.time())
        action = CommitmentAction(NO_TRANSACTION, tuple(references))
        try:
            await self._jetstream.publish(
                self._spool.question(question_id),
                pack(question),
                encode_action(action, EXPLICIT_LE),
                message_id=uuid.uuid4().hex,
                replaces=0,
            )
        except WrongLastSequence:
            return  # it stands there

    async def answer(self, question_id: str) -> QuestionAnswer | None:
        """Return the newest word about a question; None: there is none."""
        subject = self._spool.answer(question_id)
        found = (await self._jetstream.newest(self._spool.receipt_stream, [subject])).get(subject)
        if found is None:
            return None
        try:
            answer, tail = unpack(CommitmentAnswer, found.payload)
            is_reported = answer.outcome is AnswerOutcome.REPORTED
            return QuestionAnswer(answer, read_result(bytes(tail), EXPLICIT_LE) if is_reported else None)
        except (EnvelopeError, ValueError):  # another major version's
            return None

    # --- the destination's side

    async def open(self) -> list[OpenQuestion]:
        """Return the questions that are not answered yet, the oldest first."""
        found: list[OpenQuestion] = []
        first = 1
        while True:
            batch = await self._jetstream.read(
                self._spool.stream,
                self._spool.question(ANY_TOKEN),
                first=first,
                count=BATCH,
                max_bytes=BATCH_BYTES,
            )
            for message in batch.messages:
                try:
                    question, tail = unpack(CommitmentQuestion, message.payload)
                    references = read_action(bytes(tail), EXPLICIT_LE).references
                except (
                    EnvelopeError,
                    ValueError,
                ):  # another major version's: one that understands it will answer
                    continue
                found.append(OpenQuestion(message.sequence, question, references))
            if not batch.messages or not batch.pending:
                return found
            first = batch.messages[-1].sequence + 1

    async def say(self, asked: OpenQuestion, outcome: AnswerOutcome, detail: str = "") -> None:
        """Say what is known by now; the question stays."""
        await self._write(asked, outcome, detail, b"")

    async def close(
        self,
        asked: OpenQuestion,
        outcome: AnswerOutcome,
        detail: str = "",
        *,
        result: CommitmentResult | None = None,
    ) -> None:
        """Answer a question, and remove it.

        Args:
            result: the destination's report.
        """
        await self._write(
            asked, outcome, detail, b"" if result is None else encode_result(result, EXPLICIT_LE)
        )
        subject = self._spool.question(asked.question.question_id)
        await remove_message(
            self._jetstream, self._spool.stream, asked.sequence, is_it=lambda found: found.subject == subject
        )

    async def _write(self, asked: OpenQuestion, outcome: AnswerOutcome, detail: str, tail: bytes) -> None:
        question_id = asked.question.question_id
        answer = CommitmentAnswer(
            question_id=question_id, outcome=outcome, detail=detail[:200], at=time.time()
        )
        await self._jetstream.publish(
            self._spool.answer(question_id), pack(answer), tail, message_id=uuid.uuid4().hex
        )
