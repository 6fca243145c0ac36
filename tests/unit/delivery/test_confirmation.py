"""What a destination reports has the last word, whatever is read or asked meanwhile."""

from __future__ import annotations

import time
from unittest.mock import create_autospec

import anyio
import anyio.lowlevel

from dimse_mesh.delivery.confirmation import Confirmation, transaction_of
from dimse_mesh.dimse.commitment import CommitmentResult, Reference
from dimse_mesh.runtime.settings_durable import DeliverySettings
from dimse_mesh.runtime.settings_scu import RemoteAe
from dimse_mesh.schemas.commitment import AnswerOutcome, CommitmentQuestion
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects
from dimse_mesh.spool import OpenQuestion, Questions

QUESTION = f"{7:032x}"
REFERENCE = Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.3")
REPORT = CommitmentResult(transaction_of(QUESTION, now=1), (REFERENCE,), ())
SPOOL = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, "ARCHIVE")


class Asked:
    """One question. From the second time on its reader gets late what stood there when it began."""

    def __init__(self) -> None:
        question = CommitmentQuestion(question_id=QUESTION, asked=time.time())
        self.stands = [OpenQuestion(5, question, (REFERENCE,))]
        self.said: list[AnswerOutcome] = []
        self.reads = 0
        self.may_read = anyio.Event()

    async def open(self) -> list[OpenQuestion]:
        found = list(self.stands)
        self.reads += 1
        if self.reads > 1:
            await self.may_read.wait()
        return found

    async def say(self, _: OpenQuestion, outcome: AnswerOutcome, *__: object) -> None:
        self.said.append(outcome)

    async def close(self, _: OpenQuestion, outcome: AnswerOutcome, *__: object, **___: object) -> None:
        self.said.append(outcome)
        self.stands.clear()


def test_a_report_that_comes_while_questions_are_read() -> None:
    async def main() -> None:
        asked, heard = Asked(), list[bool]()
        questions = create_autospec(Questions, instance=True)
        questions.open, questions.say, questions.close = asked.open, asked.say, asked.close
        nobody = RemoteAe(ae_title="ARCHIVE", host="127.0.0.1", port=1)
        confirmation = Confirmation(questions, SPOOL, nobody, DeliverySettings(look_interval=0.01))

        async def hear() -> None:
            heard.append(await confirmation.hear(REPORT))

        async with anyio.create_task_group() as tasks:
            with anyio.fail_after(30):
                tasks.start_soon(confirmation.run)
                while asked.reads < 2:
                    await anyio.lowlevel.checkpoint()
                tasks.start_soon(hear)
                await anyio.sleep(0.05)
                asked.may_read.set()
                while not heard or asked.reads < 4:
                    await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        assert heard == [True]
        assert asked.said == [AnswerOutcome.PENDING, AnswerOutcome.REPORTED]

    anyio.run(main)
