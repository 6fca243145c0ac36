"""The `send` command: C-STORE files to an AE anywhere in the mesh, each in its own transfer syntax."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from dimse_mesh.app.dicom_file import DicomFile, NotDicomError, files_below, read_dicom_file
from dimse_mesh.app.file_sender import store_file
from dimse_mesh.app.printable import printable
from dimse_mesh.app.way_in import Door, WayIn, open_door
from dimse_mesh.client import MAX_CONTEXTS, AssociationError, Context, DicomClient, Proposal
from dimse_mesh.dimse import StatusCategory, category

SHOWN_FAILURES = 20


@dataclass(slots=True)
class Sent:
    """What came of it all."""

    stored: Counter[str] = field(default_factory=Counter)
    """Objects by transfer syntax."""
    bytes_stored: Counter[str] = field(default_factory=Counter)
    warnings: int = 0
    skipped: int = 0
    """Files in folders that are no DICOM files."""
    failures: list[tuple[Path, str]] = field(default_factory=list)


def send(way: WayIn, ae_title: str, paths: list[Path]) -> int:
    """Store every DICOM file in `paths`; print a summary; return 0 when all were stored."""
    console = Console(stderr=True)
    outcome = Sent()
    files = list(_readable(paths, outcome))
    began = time.perf_counter()
    if files:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        ) as progress:
            bar = progress.add_task(f"to {ae_title}", total=sum(file.size for file in files))
            anyio.run(partial(_send, way, ae_title, files, outcome, advance=partial(progress.advance, bar)))
    _summarise(Console(), ae_title, outcome, time.perf_counter() - began)
    return 0 if outcome.stored and not outcome.failures else 1


def _readable(paths: list[Path], outcome: Sent) -> Iterator[DicomFile]:
    for path, named in files_below(paths):
        try:
            yield read_dicom_file(path)
        except NotDicomError as error:
            if named:
                outcome.failures.append((path, str(error)))
            else:
                outcome.skipped += 1


def batches(files: Sequence[DicomFile]) -> Iterator[tuple[list[Context], list[DicomFile]]]:
    """Cut `files` into runs that need at most 128 presentation contexts each (PS3.8 §9.3.2.2)."""
    contexts: dict[Context, None] = {}
    batch: list[DicomFile] = []
    for file in files:
        context = (file.sop_class, file.transfer_syntax)
        if context not in contexts and len(contexts) == MAX_CONTEXTS:
            yield list(contexts), batch
            contexts, batch = {}, []
        contexts[context] = None
        batch.append(file)
    if batch:
        yield list(contexts), batch


async def _send(
    way: WayIn, ae_title: str, files: list[DicomFile], outcome: Sent, *, advance: Callable[[float], None]
) -> None:
    async with open_door(way) as door:
        for contexts, batch in batches(files):
            await _send_batch(door, ae_title, contexts, batch, outcome=outcome, advance=advance)


async def _send_batch(
    door: Door,
    ae_title: str,
    contexts: list[Context],
    batch: list[DicomFile],
    *,
    outcome: Sent,
    advance: Callable[[float], None],
) -> None:
    """Send a batch; when the association is lost, the file under way has failed and the rest gets a new one."""
    left = list(reversed(batch))
    proposals = [Proposal(sop_class, (syntax,)) for sop_class, syntax in contexts]
    while left:
        try:
            async with door.association(ae_title, proposals) as client:
                while left:
                    await _store(client, left.pop(), outcome, advance)
        except _Lost as lost:
            outcome.failures.append((lost.path, str(lost.__cause__)))
        except AssociationError as error:
            outcome.failures += [(file.path, str(error)) for file in reversed(left)]
            return


class _Lost(Exception):
    """The association ended while this file was under way."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path


async def _store(
    client: DicomClient, file: DicomFile, outcome: Sent, advance: Callable[[float], None]
) -> None:
    if (file.sop_class, file.transfer_syntax) not in client.accepted:
        outcome.failures.append(
            (file.path, "the target accepts neither or not both: SOP class, transfer syntax")
        )
        advance(file.size)
        return
    try:
        status = await store_file(client, file, advance)
    except (AssociationError, OSError) as error:
        raise _Lost(file.path) from error
    match category(status):
        case StatusCategory.SUCCESS | StatusCategory.WARNING as kind:
            outcome.stored[file.transfer_syntax] += 1
            outcome.bytes_stored[file.transfer_syntax] += file.size
            outcome.warnings += kind is StatusCategory.WARNING
        case _:
            outcome.failures.append((file.path, f"status {status:04X}H"))


def _summarise(console: Console, ae_title: str, outcome: Sent, seconds: float) -> None:
    from pydicom.uid import UID

    table = Table("transfer syntax", title=f"stored to {ae_title}", title_justify="left")
    table.add_column("objects", justify="right")
    table.add_column("bytes", justify="right")
    for syntax, count in sorted(outcome.stored.items()):
        table.add_row(UID(syntax).name, str(count), decimal(outcome.bytes_stored[syntax]))
    if outcome.stored:
        console.print(table)
    total = outcome.stored.total()
    console.print(
        f"{total} stored ({outcome.warnings} with a warning), {len(outcome.failures)} failed, "
        f"{outcome.skipped} other files skipped, {seconds:.1f} s"
    )
    for path, why in outcome.failures[:SHOWN_FAILURES]:
        line = printable(f"failed: {path}: {why}")
        console.print(line, style="red", highlight=False, soft_wrap=True, markup=False)
    if len(outcome.failures) > SHOWN_FAILURES:
        console.print(f"... and {len(outcome.failures) - SHOWN_FAILURES} more")
    if not total and not outcome.failures:
        console.print("no DICOM files found", style="red")
