"""Ask a destination whether it is committed to instances that it has taken (storage commitment, PS3.4 Annex J).

The questions come from the source zone, by way of the spool. The destination may report on the association that has
asked, which is kept for a while, or on a new one, which it opens towards a listener of this zone. What it reports is
known by its transaction, which holds the id of the question: so a service that has just started understands a report
that its predecessor has asked for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from dimse_mesh.client import AssociationError, DicomClient, DimseMessage, Proposal
from dimse_mesh.delivery.dialer import Dialer
from dimse_mesh.dimse import CommandField, Status, response_to
from dimse_mesh.dimse.commitment import (
    COMMITMENT_SYNTAXES,
    STORAGE_COMMITMENT,
    CommitmentAction,
    CommitmentResult,
    action_request,
    encode_action,
    read_result,
)
from dimse_mesh.mesh import MeshError
from dimse_mesh.runtime.backoff import pause_after
from dimse_mesh.runtime.settings_durable import DeliverySettings
from dimse_mesh.runtime.settings_scu import RemoteAe
from dimse_mesh.schemas.commitment import AnswerOutcome
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.spool import OpenQuestion, Questions

log = logging.getLogger(__name__)

_ROOT = "2.25"
_NOT_OFFERED = frozenset(
    (Status.SOP_CLASS_NOT_SUPPORTED, Status.UNRECOGNIZED_OPERATION, Status.NO_SUCH_SOP_CLASS)
)
"""Statuses by which a destination says that it has no such service."""


@dataclass(slots=True)
class _Asking:
    """How far a question has come.

    Attributes:
        due: seconds since 1970 of the next N-ACTION.
        failures: attempts in a row that were not answered with success.
        said: what the source zone was told last.
    """

    question: OpenQuestion
    due: float = 0.0
    failures: int = 0
    said: str = ""


class Confirmation:
    """Asks one destination, and hears it."""

    def __init__(
        self, questions: Questions, spool: SpoolSubjects, remote: RemoteAe, settings: DeliverySettings
    ) -> None:
        self._questions = questions
        self._spool = spool
        self._remote = remote
        self._settings = settings
        self._dialer = None if remote.storage is not None else Dialer(remote)
        self._open: dict[str, _Asking] = {}
        self._answered = asyncio.Event()
        self._changing = anyio.Lock()
        """A report may come while the N-ACTION's response is taken note of, or questions are read; it has the last
        word."""

    async def run(self) -> None:
        """Ask and hear, until cancelled."""
        while True:
            try:
                await self._look()
            except MeshError as error:
                log.debug("%s: questions of storage commitment can't be seen: %s", self._spool, error)
            await anyio.sleep(self._settings.look_interval)

    async def hear(self, report: CommitmentResult) -> bool:
        """Take a report of the destination; False: it answers no question of this spool.

        Raises:
            MeshError: it can't be kept.
        """
        question_id = question_of(report.transaction)
        if question_id is None:
            return False
        if question_id not in self._open:
            await self._read()
        asking = self._open.get(question_id)
        if asking is None:
            return False
        asked = {reference.sop_instance for reference in asking.question.references}
        concise = CommitmentResult(  # no more than was asked for: what the destination says may be long
            report.transaction,
            tuple(each for each in report.committed if each.sop_instance in asked),
            tuple((each, reason) for each, reason in report.failed if each.sop_instance in asked),
        )
        if not await self._close(asking, AnswerOutcome.REPORTED, result=concise):
            return False
        log.info(
            "%s: the destination is committed to %d instances, and not to %d",
            self._spool,
            len(concise.committed),
            len(asking.question.references) - len(concise.committed),
        )
        return True

    async def _read(self) -> None:
        """Take note of new questions, and of those that were removed.

        Raises:
            MeshError: they can't be seen.
        """
        async with self._changing:
            found = {each.question.question_id: each for each in await self._questions.open()}
            self._open = {
                question_id: self._open.get(question_id) or _Asking(question)
                for question_id, question in found.items()
            }

    async def _look(self) -> None:
        """Ask what is due.

        Raises:
            MeshError: questions can't be seen, or not be answered.
        """
        await self._read()
        now = time.time()
        for asking in list(self._open.values()):
            if now - asking.question.question.asked > self._settings.commitment.timeout:
                await self._close(asking, AnswerOutcome.NO_REPORT, asking.said)
            elif self._dialer is None:
                await self._close(asking, AnswerOutcome.NOT_OFFERED, "it is a place, and no DICOM peer")
        due = [asking for asking in self._open.values() if asking.due <= now]
        if due and self._dialer is not None:
            await self._ask(self._dialer, due)

    async def _ask(self, dialer: Dialer, due: Sequence[_Asking]) -> None:
        """Ask all that is due on one association, and wait there for reports.

        Raises:
            MeshError: as `_look`.
        """
        client: DicomClient | None = None
        try:
            client = await dialer.connect()
            client.deadline = self._remote.association_timeout
            await client.associate(
                called_ae=self._remote.called_ae or self._remote.ae_title,
                calling_ae=self._settings.commitment.ae_title,
                proposals=[Proposal(STORAGE_COMMITMENT, COMMITMENT_SYNTAXES)],
            )
            context = next(iter(client.accepted), None)
            if context is None:
                for asking in due:
                    await self._close(
                        asking, AnswerOutcome.NOT_OFFERED, "it rejects the presentation context"
                    )
            else:
                client.deadline = self._settings.response_timeout
                for asking in due:
                    if self._is_open(asking):
                        await self._ask_for(client, asking, context[1])
                await self._hear_on(client, due, context[1])
            await client.release()
        except AssociationError as error:
            for asking in due:
                if asking.due <= time.time():
                    await self._failed(asking, str(error))
        finally:
            if client is not None:
                client.close()

    async def _ask_for(self, client: DicomClient, asking: _Asking, syntax: str) -> None:
        """Send an N-ACTION, and take its status.

        Raises:
            AssociationError: there is none.
            MeshError: as `_look`.
        """
        question = asking.question
        action = CommitmentAction(
            transaction_of(question.question.question_id, now=int(time.time())), question.references
        )
        context_id, _ = client.context(STORAGE_COMMITMENT)
        response = await client.call(
            context_id, action_request(client.next_message_id()), encode_action(action, syntax)
        )
        status = response.command.status
        if status == Status.SUCCESS:
            asking.failures = 0
            asking.due = time.time() + self._settings.commitment.ask_again
            await self._say(asking, "it was asked, and hasn't reported yet")
        elif status in _NOT_OFFERED:
            await self._close(asking, AnswerOutcome.NOT_OFFERED, f"status {status:04X}H")
        else:
            words = (
                "it answers without a status" if status is None else f"it answers with status {status:04X}H"
            )
            await self._failed(asking, words)

    async def _hear_on(self, client: DicomClient, asked: Sequence[_Asking], syntax: str) -> None:
        """Wait for reports on the association that has asked, until all have come on some association, or long enough.

        Raises:
            MeshError: as `_look`.
        """
        client.deadline = linger = self._settings.commitment.linger

        async def hear() -> None:
            try:
                while True:
                    request = await client.next_request()
                    with anyio.CancelScope(shield=True):  # it is answered, though nothing is awaited any more
                        await self._take(client, request, syntax)
            except AssociationError as error:
                log.debug("%s: no report on the association that has asked: %s", self._spool, error)
            tasks.cancel_scope.cancel()

        with anyio.move_on_after(linger):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hear)
                while any(self._is_open(asking) and not asking.failures for asking in asked):
                    self._answered.clear()
                    await self._answered.wait()
                tasks.cancel_scope.cancel()

    def _is_open(self, asking: _Asking) -> bool:
        return asking.question.question.question_id in self._open

    async def _take(self, client: DicomClient, request: DimseMessage, syntax: str) -> None:
        """Answer a request of the destination, which should be a report.

        Raises:
            AssociationError: the association ended.
        """
        command = request.command
        if (
            command.command_field != CommandField.N_EVENT_REPORT_RQ
            or command.affected_sop_class_uid != STORAGE_COMMITMENT
        ):
            await client.refuse(request)
            return
        try:
            known = await self.hear(read_result(request.data_set or b"", syntax))
            status = Status.SUCCESS if known else Status.NO_SUCH_SOP_INSTANCE
        except ValueError:
            status = Status.INVALID_ARGUMENT_VALUE
        except MeshError:
            status = Status.PROCESSING_FAILURE
        await client.send(request.context_id, response_to(command, status))

    async def _failed(self, asking: _Asking, detail: str) -> None:
        """Note that the destination couldn't be asked; it is tried again.

        Raises:
            MeshError: as `_look`.
        """
        asking.failures += 1
        wait = pause_after(asking.failures, self._settings.retry)
        asking.due = time.time() + wait
        log.warning("%s: the destination can't be asked for storage commitment: %s", self._spool, detail)
        await self._say(asking, f"it can't be asked: {detail}")

    async def _say(self, asking: _Asking, detail: str) -> None:
        async with self._changing:
            if detail != asking.said and self._is_open(asking):
                asking.said = detail
                await self._questions.say(asking.question, AnswerOutcome.PENDING, detail)

    async def _close(
        self,
        asking: _Asking,
        outcome: AnswerOutcome,
        detail: str = "",
        *,
        result: CommitmentResult | None = None,
    ) -> bool:
        """Answer a question; False: it is answered already.

        Raises:
            MeshError: it can't be answered.
        """
        async with self._changing:
            if not self._is_open(asking):
                return False
            await self._questions.close(asking.question, outcome, detail, result=result)
            del self._open[asking.question.question.question_id]
        self._answered.set()
        return True


def transaction_of(question_id: str, *, now: int) -> str:
    """Return a Transaction UID for a question; another one each time: a destination may refuse one that it knows.

    Args:
        now: seconds since 1970.
    """
    return f"{_ROOT}.{int(question_id, 16)}.{now}"


def question_of(transaction: str) -> str | None:
    """Return the id of the question that a Transaction UID was made for; None: it is none of ours."""
    number = transaction.removeprefix(f"{_ROOT}.").partition(".")[0]
    if not transaction.startswith(f"{_ROOT}.") or not (number.isascii() and number.isdecimal()):
        return None
    return f"{int(number):032x}" if int(number) < 1 << 128 else None
