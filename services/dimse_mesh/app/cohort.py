"""The `cohort` commands: from a query to a list, from the list to the studies, and what is missing."""

from __future__ import annotations

import csv
import io
import json
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import anyio
import yaml
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from dimse_mesh.app.atomic_file import write_atomically
from dimse_mesh.app.cohort_find import CohortFinder, FoundStudies
from dimse_mesh.app.cohort_list import ListedStudy, read_list, write_list
from dimse_mesh.app.cohort_pull import CohortPuller, PullSettings
from dimse_mesh.app.cohort_query import CohortQuery, Pacs, load_query
from dimse_mesh.app.cohort_state import CohortState, StudyState, StudyStatus, alone, load_state
from dimse_mesh.app.interruptible import INTERRUPTED
from dimse_mesh.app.printable import printable
from dimse_mesh.app.retrieval import storage_proposals
from dimse_mesh.app.way_in import WayIn, open_door
from dimse_mesh.runtime.settings_errors import ConfigurationError
from dimse_mesh.runtime.yaml_file import read_yaml

SHOWN_LINES: Final = 20
WIDE: Final = 100_000
_PACS = TypeAdapter(tuple[Pacs, ...])


def find_cohort(way: WayIn, query_file: Path, listed: Path, pacs: Sequence[str]) -> int:
    """Write the list of a query's studies; return 0 if every PACS has given all it has.

    Studies that an earlier list has stay in it, with its reader's decisions.

    Raises:
        ConfigurationError: the query, or the list that is there, can't be used.
    """
    query = load_query(query_file, tuple(pacs))
    before = {study.study_instance_uid: study for study in read_list(listed)} if listed.exists() else {}
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    with console.status("finding", spinner="line") as shown:
        found = anyio.run(_find, way, query, shown.update)
    studies = before | {
        uid: replace(study, pull=before[uid].pull) if uid in before else study
        for uid, study in found.studies.items()
    }
    ordered = sorted(studies.values(), key=lambda study: (study.study_date, study.study_instance_uid))
    write_list(listed, ordered)
    _write_pacs(listed, query)
    _print_studies(ordered[:SHOWN_LINES])
    if len(ordered) > SHOWN_LINES:
        console.print(f"... and {len(ordered) - SHOWN_LINES} more")
    new = len(studies) - len(before)
    console.print(
        f"{len(studies)} studies in {listed}, {new} of them new, {_instances(ordered)} instances; {found.finds} C-FINDs"
    )
    for line in found.problems[:SHOWN_LINES]:
        console.print(printable(f"perhaps not all: {line}"), style="red")
    if len(found.problems) > SHOWN_LINES:
        console.print(f"... and {len(found.problems) - SHOWN_LINES} more")
    return 1 if found.problems else 0


async def _find(way: WayIn, query: CohortQuery, show: Any) -> FoundStudies:
    async with open_door(way) as door:
        today = datetime.now().astimezone().date()
        return await CohortFinder(door, query, today=today, show=show).run()


def pull_cohort(
    way: WayIn,
    listed: Path,
    *,
    destination: str | None,
    folder: Path | None,
    sop_classes: Sequence[str],
    attempts: int,
    wait: float,
    wait_for_hours: bool,
) -> int:
    """Pull the studies of a list; return 0 when all of them are complete.

    Raises:
        ConfigurationError: the list, its state or an option can't be used.
        OSError: the state can't be written.
    """
    if (destination is None) == (folder is None):
        raise ConfigurationError(["give --to AET, or --output DIR"])
    studies = [study for study in read_list(listed) if study.wanted]
    where = f"AE {destination}" if folder is None else f"folder {folder.resolve()}"
    settings = PullSettings(
        destination,
        folder,
        () if folder is None else tuple(storage_proposals(sop_classes)),
        attempts=attempts,
        wait=wait,
        wait_for_hours=wait_for_hours,
    )
    with alone(listed):
        state = load_state(listed, where)
        pacs = {one.ae_title: one for one in _read_pacs(listed)}
        with _shown(studies, state) as progress:
            interrupted = anyio.run(_pull, way, CohortPullPlan(studies, pacs, settings), state, progress)
    print_summary(studies, state)
    if interrupted:
        return INTERRUPTED
    return 0 if all(state.of(s.study_instance_uid).status is StudyStatus.COMPLETE for s in studies) else 1


@dataclass(frozen=True, slots=True)
class CohortPullPlan:
    """What to pull, and how; what each PACS allows by its AE title."""

    studies: Sequence[ListedStudy]
    pacs: dict[str, Pacs]
    settings: PullSettings


async def _pull(
    way: WayIn,
    plan: CohortPullPlan,
    state: CohortState,
    progress: ShownProgress,
) -> bool:
    """Pull until all is done, or a signal comes; return whether one came."""
    interrupted = False
    async with open_door(way) as door, anyio.create_task_group() as tasks:

        async def watch() -> None:
            nonlocal interrupted
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    interrupted = True
                    tasks.cancel_scope.cancel()
                    return

        tasks.start_soon(watch)
        await CohortPuller(door, plan.settings, state, progress, pacs=plan.pacs).run(plan.studies)
        tasks.cancel_scope.cancel()
    return interrupted


@dataclass(slots=True)
class ShownProgress:
    """Progress on standard error: bars on a terminal, else a line for each study that isn't complete."""

    console: Console
    bars: Progress
    studies: TaskID
    done: dict[str, int]
    running: dict[str, TaskID]

    def instances(self, uid: str, done: int, total: int | None) -> None:
        """Show how many instances of a study have come."""
        if uid not in self.running:
            self.running[uid] = self.bars.add_task(uid[-40:], total=total)
        self.bars.update(self.running[uid], completed=done, total=total)

    def study(self, study: ListedStudy, state: StudyState) -> None:
        """Show what has become of a study."""
        bar = self.running.pop(study.study_instance_uid, None)
        if bar is not None:
            self.bars.remove_task(bar)
        self.bars.advance(self.studies)
        if state.status is not StudyStatus.COMPLETE:
            line = printable(f"{study.study_instance_uid}: {state.status}: {state.why}")
            self.console.print(line, style="red")

    def waiting(self, ae_title: str) -> None:
        """Show that a PACS may not be asked now."""
        self.console.print(f"{ae_title}: it is not the hour for it")


@contextmanager
def _shown(studies: Sequence[ListedStudy], state: CohortState) -> Iterator[ShownProgress]:  # noqa: ARG001
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bars:
        task = bars.add_task("studies", total=len(studies))
        yield ShownProgress(console, bars, task, {}, {})


def show_cohort(listed: Path) -> int:
    """Print a list with what has become of its studies; return 0."""
    studies = read_list(listed)
    _print_studies(studies, load_state(listed))
    print_summary([study for study in studies if study.wanted], load_state(listed))
    return 0


def report_cohort(listed: Path, csv_file: Path | None, json_file: Path | None) -> int:
    """Write what has become of a list's studies; return 0 when all of them are complete.

    Raises:
        OSError: a file can't be written.
    """
    studies = [study for study in read_list(listed) if study.wanted]
    state = load_state(listed)
    rows = [_report_row(study, state.of(study.study_instance_uid)) for study in studies]
    if csv_file is not None:
        buffer = io.StringIO()
        writer = csv.DictWriter(
            buffer, list(rows[0]) if rows else ["study_instance_uid"], lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(csv_file, buffer.getvalue().encode())
    if json_file is not None:
        document = {"totals": _totals(rows), "studies": rows}
        write_atomically(json_file, (json.dumps(document, indent=1) + "\n").encode())
    print_summary(studies, state)
    return 0 if all(row["status"] == StudyStatus.COMPLETE for row in rows) else 1


def _report_row(study: ListedStudy, state: StudyState) -> dict[str, Any]:
    return {
        "study_instance_uid": study.study_instance_uid,
        "pacs": study.pacs,
        "study_date": study.study_date,
        "status": state.status.value,
        "expected": state.expected,
        "arrived": state.arrived,
        "missing": state.missing,
        "attempts": state.attempts,
        "ended": state.ended,
        "why": state.why,
    }


def _totals(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    statuses = Counter(row["status"] for row in rows)
    return {
        "studies": len(rows),
        **{status.value: statuses[status.value] for status in StudyStatus},
        "expected": sum(row["expected"] or 0 for row in rows),
        "arrived": sum(row["arrived"] for row in rows),
        "missing": sum(row["missing"] or 0 for row in rows),
    }


def print_summary(studies: Sequence[ListedStudy], state: CohortState) -> None:
    """Print totals, and what is missing."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    rows = [_report_row(study, state.of(study.study_instance_uid)) for study in studies]
    totals = _totals(rows)
    said = ", ".join(f"{totals[status]} {status}" for status in StudyStatus if totals[status])
    console.print(
        f"{totals['studies']} studies: {said or 'none'}; {totals['arrived']} of {totals['expected']} instances"
    )


def _print_studies(studies: Sequence[ListedStudy], state: CohortState | None = None) -> None:
    table = Table(box=None, pad_edge=False)
    names = (
        "study_date",
        "modalities",
        "description",
        "accession_number",
        "instances",
        "pacs",
        "study_instance_uid",
    )
    for name in names:
        table.add_column(name, overflow="fold")
    if state is not None:
        table.add_column("status")
    for study in studies:
        cells = [Text(printable(getattr(study, name))) for name in names]
        if state is not None:
            cells.append(Text(state.of(study.study_instance_uid).status if study.wanted else "not wanted"))
        table.add_row(*cells)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    console.print(table)


def _instances(studies: Sequence[ListedStudy]) -> str:
    counted = [int(study.instances) for study in studies if study.instances.isdigit()]
    return f"{sum(counted)}" if len(counted) == len(studies) else f"at least {sum(counted)}"


def _pacs_path(listed: Path) -> Path:
    return listed.with_name(f"{listed.name}.pacs.yaml")


def _write_pacs(listed: Path, query: CohortQuery) -> None:
    """Keep beside the list what each PACS allows, for those who pull it."""
    data = {"pacs": [pacs.model_dump(mode="json") for pacs in query.pacs]}
    write_atomically(_pacs_path(listed), yaml.safe_dump(data, sort_keys=False).encode())


def _read_pacs(listed: Path) -> tuple[Pacs, ...]:
    path = _pacs_path(listed)
    if not path.exists():
        return ()
    try:
        return _PACS.validate_python(read_yaml(path).get("pacs", ()))
    except ValidationError as error:
        raise ConfigurationError([f"{path}: not what each PACS allows"]) from error
