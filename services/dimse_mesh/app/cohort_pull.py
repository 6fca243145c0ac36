"""Pull the studies of a list: C-MOVE to an AE or C-GET into a folder, as many at a time as each PACS allows.

A study is pulled again until as many instances have come as the PACS says it has, or its attempts are used up. What
has become of it is on disk before the next one begins, so that a killed run goes on where it was.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

import anyio

from dimse_mesh.app.cohort_ask import count_of, find_matches
from dimse_mesh.app.cohort_list import ListedStudy
from dimse_mesh.app.cohort_query import Pacs
from dimse_mesh.app.cohort_state import CohortState, StudyState, StudyStatus
from dimse_mesh.app.dicom_query import Query, Response, SubOperations
from dimse_mesh.app.identifier import QUERY_SYNTAXES, build_identifier, encode_identifier
from dimse_mesh.app.query_models import MODELS, Level, ModelName
from dimse_mesh.app.received_files import ReceivedFiles
from dimse_mesh.app.way_in import Door
from dimse_mesh.client import AssociationError, Proposal
from dimse_mesh.dimse import CommandField, Status, StatusCategory, category

HOURS_SECONDS: Final = 20.0
"""Between two looks at the clock."""
LONGEST_WAIT: Final = 300.0


class PullProgress(Protocol):
    """Who shows how far a pull is."""

    def instances(self, uid: str, done: int, total: int | None) -> None:
        """Show how many instances of a study have come."""

    def study(self, study: ListedStudy, state: StudyState) -> None:
        """Show what has become of a study."""

    def waiting(self, ae_title: str) -> None:
        """Show that a PACS may not be asked now."""


@dataclass(frozen=True, slots=True)
class PullSettings:
    """How to pull.

    Attributes:
        destination: AE title of a C-MOVE; None: C-GET.
        folder: of a C-GET: each study in a folder of its own.
        proposals: what a C-GET proposes for the objects to come.
        attempts: for each study and run.
        wait: seconds before the second attempt; they double.
        wait_for_hours: whether to wait for the hours of a PACS, or to leave its studies for the next run.
    """

    destination: str | None
    folder: Path | None = None
    proposals: tuple[Proposal, ...] = ()
    attempts: int = 3
    wait: float = 5.0
    wait_for_hours: bool = True


@dataclass(slots=True)
class _Retrieved:
    """What one attempt has brought."""

    status: int | None = None
    counts: SubOperations = field(default_factory=lambda: SubOperations(None, None, None, None))
    here: int | None = None
    """Instances that are in the folder; None: they went elsewhere."""
    why: str = ""
    refused: str = ""
    """Why no other attempt can do better."""


class CohortPuller:
    """Pulls the studies of a list.

    Args:
        pacs: what each PACS allows; another one is asked for one study at a time, at any hour.
        clock: local time.
    """

    def __init__(
        self,
        door: Door,
        settings: PullSettings,
        state: CohortState,
        progress: PullProgress,
        *,
        pacs: Mapping[str, Pacs],
        clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._door = door
        self._settings = settings
        self._state = state
        self._progress = progress
        self._pacs = pacs
        self._clock = clock

    async def run(self, studies: Iterable[ListedStudy]) -> None:
        """Pull what isn't complete, or has grown since.

        Raises:
            OSError: the state can't be written.
        """
        queues: defaultdict[str, deque[ListedStudy]] = defaultdict(deque)
        for study in studies:
            queues[study.pacs].append(study)
        async with anyio.create_task_group() as tasks:
            for title, queue in queues.items():
                pacs = self._pacs.get(title) or Pacs(ae_title=title)
                for _ in range(min(pacs.associations, len(queue))):
                    tasks.start_soon(self._work, pacs, queue)

    async def _work(self, pacs: Pacs, queue: deque[ListedStudy]) -> None:
        while queue:
            if not await self._allowed(pacs):
                return
            if queue:
                await self._pull(pacs, queue.popleft())

    async def _allowed(self, pacs: Pacs) -> bool:
        """Wait until a PACS may be asked; False: it may not be now, and nobody waits."""
        told = False
        while not pacs.allows(self._clock().time()):
            if not told:
                self._progress.waiting(pacs.ae_title)
                told = True
            if not self._settings.wait_for_hours:
                return False
            await anyio.sleep(HOURS_SECONDS)
        return True

    async def _pull(self, pacs: Pacs, study: ListedStudy) -> None:
        state = self._state.of(study.study_instance_uid)
        wait = self._settings.wait
        for attempt in range(self._settings.attempts):
            if attempt:
                await anyio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)
                if not await self._allowed(pacs):
                    break
            if await self._attempt(pacs, study, state):
                break
        self._progress.study(study, state)

    async def _attempt(self, pacs: Pacs, study: ListedStudy, state: StudyState) -> bool:
        """Try once; return whether that is the end of it."""
        uid = study.study_instance_uid
        try:
            matches = await find_matches(self._door, pacs.ae_title, {"StudyInstanceUID": uid})
        except AssociationError as error:
            self._end(state, StudyStatus.FAILED, why=f"it can't be asked: {error}", keep=True)
            return False
        if not matches.answers:
            if category(matches.status) is StatusCategory.FAILURE:
                self._end(state, StudyStatus.FAILED, why=f"C-FIND: status {matches.status:04X}H", keep=True)
                return False
            self._end(state, StudyStatus.FAILED, why="the PACS has no such study", keep=True)
            return True
        expected = count_of(matches.answers[0])
        if state.status is StudyStatus.COMPLETE and (expected is None or expected <= state.arrived):
            return True
        state.attempts += 1
        retrieved = await self._retrieve(pacs, uid, expected)
        return self._judge(state, retrieved, expected)

    def _judge(self, state: StudyState, retrieved: _Retrieved, expected: int | None) -> bool:
        counts = retrieved.counts
        if retrieved.here is not None:
            arrived: int = retrieved.here
        elif counts.completed is None and retrieved.status == Status.SUCCESS:
            arrived = expected or 0  # the counts are optional, its word of success is not
        else:
            arrived = (counts.completed or 0) + (counts.warning or 0)
        state.expected = counts.total if expected is None else expected
        state.arrived = arrived
        if retrieved.refused:
            self._end(state, StudyStatus.FAILED, why=retrieved.refused)
            return True
        if retrieved.status is None or category(retrieved.status) is StatusCategory.FAILURE:
            status = StudyStatus.INCOMPLETE if arrived else StudyStatus.FAILED
            self._end(state, status, why=retrieved.why)
            return False
        missing = state.missing
        if missing or counts.failed:
            why = retrieved.why or f"{counts.failed or 0} sub-operations failed"
            self._end(state, StudyStatus.INCOMPLETE, why=why)
            return False
        self._end(state, StudyStatus.COMPLETE)
        return True

    def _end(self, state: StudyState, status: StudyStatus, *, why: str = "", keep: bool = False) -> None:
        """Note how an attempt ended; `keep`: a study that was complete stays it, since nothing was pulled."""
        if not (keep and state.status is StudyStatus.COMPLETE):
            state.status = status
        state.why = why
        state.ended = self._clock().astimezone().isoformat(timespec="seconds")
        self._state.save()

    async def _retrieve(self, pacs: Pacs, uid: str, expected: int | None) -> _Retrieved:
        settings, model = self._settings, MODELS[ModelName.STUDY]
        moving = settings.destination is not None
        sop_class = model.move if moving else model.get
        operation = CommandField.C_MOVE_RQ if moving else CommandField.C_GET_RQ
        retrieved, files = _Retrieved(), self._files(uid)
        identifier = build_identifier([f"StudyInstanceUID={uid}"], Level.STUDY)
        try:
            async with self._door.association(
                pacs.ae_title, [Proposal(sop_class, QUERY_SYNTAXES), *settings.proposals]
            ) as client:
                query = Query(client, operation, sop_class, destination=settings.destination, storage=files)
                async for response in query.responses(encode_identifier(identifier, query.transfer_syntax)):
                    _note(retrieved, response)
                    total = response.counts.total if expected is None else expected
                    self._progress.instances(uid, response.counts.done, total)
        except AssociationError as error:
            retrieved.status, retrieved.why = None, str(error)
        finally:
            if files is not None:
                files.close()
        if files is not None:
            retrieved.here = len(files.sizes)
            if files.failures:
                retrieved.why = "; ".join([*([retrieved.why] if retrieved.why else []), *files.failures[:3]])
        return retrieved

    def _files(self, uid: str) -> ReceivedFiles | None:
        if self._settings.folder is None:
            return None
        folder = self._settings.folder / uid
        folder.mkdir(parents=True, exist_ok=True)
        for part in folder.glob("*.part"):  # of a run that was killed
            part.unlink(missing_ok=True)
        return ReceivedFiles(folder)


def _note(retrieved: _Retrieved, response: Response) -> None:
    retrieved.counts = response.counts
    if response.command.is_pending:
        return
    retrieved.status = response.status
    if response.status == Status.MOVE_DESTINATION_UNKNOWN:
        retrieved.refused = "the PACS doesn't know the destination, or can't reach it (status A801H)"
    elif response.status != Status.SUCCESS:
        failed = response.counts.failed
        said = f" ({response.comment})" if response.comment else ""
        retrieved.why = f"status {response.status:04X}H{said}" + (
            f", {failed} sub-operations failed" if failed else ""
        )
