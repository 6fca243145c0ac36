"""The `move` and `get` commands: retrieve from an AE anywhere in the mesh, to an AE or into a folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dimse_mesh.app.answer import read_answer
from dimse_mesh.app.dicom_query import Query, Response, SubOperations
from dimse_mesh.app.identifier import (
    QUERY_SYNTAXES,
    build_identifier,
    encode_identifier,
    parse_path,
)
from dimse_mesh.app.interruptible import INTERRUPTED, Interrupted, interruptible
from dimse_mesh.app.printable import printable
from dimse_mesh.app.query_models import MODELS, UNIQUE_KEYS, Level, ModelName, level_for
from dimse_mesh.app.received_files import UNLIMITED, ReceivedFiles, Room
from dimse_mesh.app.retrieval import storage_proposals
from dimse_mesh.app.way_in import WayIn, open_door
from dimse_mesh.client import AssociationError, Proposal
from dimse_mesh.dimse import CommandField, Status
from dimse_mesh.runtime.settings_errors import ConfigurationError

SHOWN_LINES = 20
FAILED_INSTANCES = parse_path("FailedSOPInstanceUIDList")


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What to retrieve, from where."""

    ae_title: str
    keys: Sequence[str]
    level: Level | None
    model: ModelName


@dataclass(slots=True)
class Retrieved:
    """What came of it."""

    counts: SubOperations = field(default_factory=lambda: SubOperations(None, None, None, None))
    status: int | None = None
    comment: str = ""
    """What the target says of the status."""
    failures: list[str] = field(default_factory=list)
    """What failed here, whatever the target's status says."""
    notes: list[str] = field(default_factory=list)
    """What else there is to say; the exit code doesn't depend on it."""
    interrupted: bool = False


def move(way: WayIn, what: Retrieval, destination: str) -> int:
    """Have the target send what matches to `destination`; return 0 when it has sent all of it.

    Raises:
        ConfigurationError: a key or level that can't be.
    """
    outcome, seconds = _retrieve(way, what, destination=destination)
    return _summarise(outcome, f"{what.ae_title} to {destination}", "", seconds)


def get(way: WayIn, what: Retrieval, folder: Path, sop_classes: Sequence[str], room: Room = UNLIMITED) -> int:
    """Write what matches to files in `folder`; return 0 when all of it is there.

    Args:
        room: what is taken at most.

    Raises:
        ConfigurationError: a key, level or SOP class that can't be.
        OSError: the folder can't be made.
    """
    proposals = storage_proposals(sop_classes)
    folder.mkdir(parents=True, exist_ok=True)
    files = ReceivedFiles(folder, room)
    try:
        outcome, seconds = _retrieve(way, what, files=files, proposals=proposals)
    finally:
        files.close()
    outcome.failures += files.failures
    outcome.notes += files.notes
    written = f"{len(files.sizes)} files, {decimal(sum(files.sizes.values()))} in {folder}; "
    return _summarise(outcome, what.ae_title, written, seconds)


def _retrieve(
    way: WayIn,
    what: Retrieval,
    *,
    destination: str | None = None,
    files: ReceivedFiles | None = None,
    proposals: Sequence[Proposal] = (),
) -> tuple[Retrieved, float]:
    model, level = MODELS[what.model], level_for(what.model, what.level, what.keys)
    sop_class = model.get if destination is None else model.move
    operation = CommandField.C_GET_RQ if destination is None else CommandField.C_MOVE_RQ
    outcome, began = Retrieved(), time.perf_counter()
    identifier = build_identifier(what.keys, level)
    if not any(keyword in identifier and identifier[keyword].value for keyword in UNIQUE_KEYS.values()):
        raise ConfigurationError(["-k: say what to retrieve, by a unique key such as StudyInstanceUID=UID"])

    async def run() -> None:
        async with open_door(way) as door:
            try:
                async with door.association(
                    what.ae_title, [Proposal(sop_class, QUERY_SYNTAXES), *proposals]
                ) as client:
                    query = Query(client, operation, sop_class, destination=destination, storage=files)
                    request = encode_identifier(identifier, query.transfer_syntax)
                    async with interruptible(query.cancel) as interruption:
                        async for response in query.responses(request):
                            _note(outcome, response, query.transfer_syntax)
                            counts = response.counts
                            progress.update(bar, total=counts.total, completed=counts.done)
                    outcome.interrupted = interruption.came
            except Interrupted:
                outcome.interrupted = True
            except AssociationError as error:
                outcome.failures.append(str(error))

    with _progress() as progress:
        bar = progress.add_task(f"from {what.ae_title}", total=None)
        anyio.run(run)
    return outcome, time.perf_counter() - began


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _note(outcome: Retrieved, response: Response, transfer_syntax: str) -> None:
    outcome.status, outcome.counts, outcome.comment = response.status, response.counts, response.comment
    if response.identifier is None:
        return
    answer = read_answer(response.identifier, transfer_syntax, whole=response.whole)
    outcome.notes += [f"not sent: {name}" for name in answer.texts(FAILED_INSTANCES) if name]
    outcome.notes += [f"in the target's list of what it did not send: {line}" for line in answer.problems]


def _summarise(outcome: Retrieved, names: str, written: str, seconds: float) -> int:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    counts = outcome.counts
    said = [
        f"{number} {name}"
        for name, number in (
            ("completed", counts.completed),
            ("with a warning", counts.warning),
            ("failed", counts.failed),
            ("remaining", counts.remaining),
        )
        if number is not None
    ]
    console.print(f"{names}: {written}{', '.join(said) or 'no sub-operations counted'}; {seconds:.1f} s")
    _print_lines(console, [f"failed: {line}" for line in outcome.failures], style="red")
    _print_lines(console, outcome.notes)
    if outcome.interrupted:
        console.print("cancelled")
        return INTERRUPTED
    status = outcome.status
    if status not in (None, Status.SUCCESS):
        said_so = f" ({outcome.comment})" if outcome.comment else ""
        console.print(f"status {status:04X}H{_meaning(status)}{said_so}", style="red")
    elif status == Status.SUCCESS and counts.done == 0 and counts.completed is not None:
        console.print("nothing matches", style="red")
        return 1
    return 0 if status == Status.SUCCESS and not outcome.failures else 1


def _print_lines(console: Console, lines: Sequence[str], *, style: str | None = None) -> None:
    for line in lines[:SHOWN_LINES]:
        console.print(printable(line), style=style)
    if len(lines) > SHOWN_LINES:
        console.print(f"... and {len(lines) - SHOWN_LINES} more")


def _meaning(status: int | None) -> str:
    match status:
        case Status.MOVE_DESTINATION_UNKNOWN:
            return ": the target doesn't know the destination, or can't reach it"
        case Status.RETRIEVE_SUBOPERATIONS_COMPLETE_WITH_FAILURES:
            return ": sub-operations failed or gave warnings"
        case Status.QUERY_IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS:
            return ": the keys don't fit the model and level"
        case _:
            return ""
