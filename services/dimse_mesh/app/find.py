"""The `find` command: C-FIND an AE anywhere in the mesh, print what matches as a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import anyio
from pydicom.dataset import Dataset
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dimse_mesh.app.answer import QueryAnswer, read_answer
from dimse_mesh.app.dicom_query import Query
from dimse_mesh.app.identifier import (
    QUERY_SYNTAXES,
    build_identifier,
    columns,
    encode_identifier,
    title,
)
from dimse_mesh.app.interruptible import INTERRUPTED, Interrupted, interruptible
from dimse_mesh.app.printable import printable
from dimse_mesh.app.query_models import MODELS, RETURN_KEYS, WORKLIST_KEYS, Level, ModelName, level_for
from dimse_mesh.app.way_in import WayIn, open_door
from dimse_mesh.client import AssociationError, Proposal
from dimse_mesh.dimse import CommandField, Status, StatusCategory, category
from dimse_mesh.runtime.settings_errors import ConfigurationError

SHOWN_PROBLEMS = 20
WIDE = 100_000
"""Columns of the table when nobody looks at it on a terminal: nothing is folded."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to find; 0: no limit."""

    sop_class: str
    identifier: Dataset
    limit: int


@dataclass(slots=True)
class Found:
    """What came of a C-FIND."""

    answers: list[QueryAnswer] = field(default_factory=list)
    status: int | None = None
    comment: str = ""
    """What the target says of the status."""
    stopped: bool = False
    """By us: there are as many matches as were wanted."""
    interrupted: bool = False
    failure: str = ""


def find(
    way: WayIn,
    ae_title: str,
    keys: Sequence[str],
    *,
    level: Level | None,
    model: ModelName,
    limit: int,
    as_json: bool,
) -> int:
    """Print what matches; return 0 when the target has given all of it, or `limit` matches (0: no limit).

    Raises:
        ConfigurationError: a key or level that can't be.
    """
    question = Question(MODELS[model].find, _identifier(keys, level, model), limit)
    found = Found()
    console = Console(stderr=True)
    try:
        with console.status(f"finding in {ae_title}", spinner="line") as shown:
            anyio.run(partial(_find, way, ae_title, question, found, show=shown.update))
    finally:
        if as_json:
            for answer in found.answers:
                sys.stdout.write(json.dumps(answer.to_json()) + "\n")
        elif found.answers:
            _print_table(found.answers, question.identifier)
        _print_problems(console, found.answers)
    return _verdict(console, ae_title, found)


def _identifier(keys: Sequence[str], level: Level | None, model: ModelName) -> Dataset:
    if model is ModelName.WORKLIST:
        if level is not None:
            raise ConfigurationError(["--level: a worklist has none"])
        return build_identifier(keys, more=WORKLIST_KEYS)
    level = level_for(model, level, keys)
    return build_identifier(keys, level, RETURN_KEYS[level])


async def _find(
    way: WayIn, ae_title: str, question: Question, found: Found, *, show: Callable[[str], None]
) -> None:
    sop_class, identifier = question.sop_class, question.identifier
    async with open_door(way) as door:
        try:
            async with door.association(ae_title, [Proposal(sop_class, QUERY_SYNTAXES)]) as client:
                query = Query(client, CommandField.C_FIND_RQ, sop_class)
                request = encode_identifier(identifier, query.transfer_syntax)
                async with interruptible(query.cancel) as interruption:
                    async for response in query.responses(request):
                        found.status, found.comment = response.status, response.comment
                        if found.stopped or not response.command.is_pending:
                            continue
                        found.answers.append(
                            read_answer(response.identifier, query.transfer_syntax, whole=response.whole)
                        )
                        show(f"finding in {ae_title}: {len(found.answers)} matches")
                        if len(found.answers) == question.limit:
                            found.stopped = True
                            await query.cancel()
                found.interrupted = interruption.came
        except Interrupted:
            found.interrupted = True
        except (AssociationError, ValueError) as error:
            found.failure = str(error)


def _print_problems(console: Console, answers: Sequence[QueryAnswer]) -> None:
    """Say which answers can't be shown as they should be: on standard error, since the answers go to a program."""
    lines = [
        f"match {number}: {line}" for number, answer in enumerate(answers, 1) for line in answer.problems
    ]
    for line in lines[:SHOWN_PROBLEMS]:
        console.print(printable(line), style="yellow", markup=False, highlight=False, soft_wrap=True)
    if len(lines) > SHOWN_PROBLEMS:
        console.print(f"... and {len(lines) - SHOWN_PROBLEMS} more")


def _print_table(answers: Sequence[QueryAnswer], identifier: Dataset) -> None:
    paths = columns(identifier)
    table = Table(box=None, pad_edge=False)
    for path in paths:
        table.add_column(title(path), overflow="fold")
    for answer in answers:
        table.add_row(*(Text(answer.text(path)) for path in paths))
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    console.print(table)


def _verdict(console: Console, ae_title: str, found: Found) -> int:
    count = f"{len(found.answers)} matches"
    if found.failure:
        console.print(
            printable(f"{ae_title}: {found.failure} ({count})"), style="red", markup=False, soft_wrap=True
        )
        return 1
    if found.interrupted:
        console.print(f"{count}; cancelled")
        return INTERRUPTED
    if found.stopped:
        console.print(f"{count}; there may be more: --max 0 gives all")
        return 0
    status = found.status
    if status is None or category(status) is not StatusCategory.SUCCESS:
        if status == Status.QUERY_MATCHING_REACHED_RESPONSE_LIMIT:
            console.print(f"{count}; the target gives no more (status B001H)")
            return 0
        said = f"no status ({count})" if status is None else f"status {status:04X}H ({count})"
        comment = f": {found.comment}" if found.comment else ""
        console.print(f"{ae_title}: {said}{comment}", style="red", markup=False, soft_wrap=True)
        return 1
    console.print(count)
    return 0
