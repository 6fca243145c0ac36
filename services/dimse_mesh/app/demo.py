"""The `demo` command: two zones, an archive, real DICOM files through the mesh, every byte compared.

this process (a modality) --DICOM--> hospital: front-end, handler --NATS--> cloud: executor --DICOM--> archive
"""

from __future__ import annotations

import hashlib
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from dimse_mesh.app.demo_echo import echo_responder
from dimse_mesh.app.demo_mesh import DemoMesh, demo_mesh
from dimse_mesh.app.dicom_client import VERIFICATION, AssociationError, DicomClient, Proposal, connect_tcp
from dimse_mesh.app.dicom_file import DicomFile, NotDicomError, files_below, read_dicom_file

MODALITY = "MODALITY"
ARCHIVE = "ARCHIVE"
ECHO = "ECHO"
ECHOES = 200
WANTED_SYNTAXES = 10


@dataclass(slots=True)
class Row:
    """What came of the files of one transfer syntax."""

    objects: int = 0
    size: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What came of it all. Latencies in seconds."""

    rows: dict[str, Row] = field(default_factory=dict)
    direct: float = 0.0
    through: float = 0.0
    opening: float = 0.0
    """From A-ASSOCIATE-RQ to -AC through the mesh."""

    @property
    def failures(self) -> list[str]:
        """Everything that went wrong, one line each."""
        return [f"{_name(syntax)}: {line}" for syntax, row in self.rows.items() for line in row.failures]


def run_demo(*, stay: bool) -> int:
    """Run the demo; with `stay` leave it running until Ctrl-C. Return the exit code.

    Raises:
        StartError: a process can't start; the message says which and why.
    """
    console = Console()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="dimse-mesh-demo-") as folder:
        began = time.perf_counter()
        with demo_mesh(Path(folder), fixed_ports=stay) as mesh:
            console.print(f"two zones, NATS and an archive stand after {time.perf_counter() - began:.1f} s")
            report = Report()
            anyio.run(partial(_exercise, mesh, report))
            _compare(mesh, report)
            code = _show(console, report)
            if stay and code == 0:
                _wait(console, mesh)
    return code


def sample_files() -> dict[str, list[DicomFile]]:
    """Return pydicom's own test files that are composite objects, by transfer syntax."""
    import pydicom.data
    from pynetdicom.presentation import AllStoragePresentationContexts

    storage = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
    found: dict[str, list[DicomFile]] = defaultdict(list)
    for path, _ in files_below([Path(pydicom.data.__file__).parent / "test_files"]):
        try:
            file = read_dicom_file(path)
        except NotDicomError:
            continue
        if file.sop_class in storage:
            found[file.transfer_syntax].append(file)
    return found


async def _exercise(mesh: DemoMesh, report: Report) -> None:
    for syntax, files in sample_files().items():
        row = report.rows[syntax] = Row()
        began = time.perf_counter()
        try:
            await _store(mesh, syntax, files, row)
        except AssociationError as error:
            row.failures.append(str(error))
        row.seconds = time.perf_counter() - began
    try:
        async with echo_responder(mesh.echo_port):
            _, report.direct = await _echo(mesh.echo_port)
            report.opening, report.through = await _echo(mesh.hospital_port)
    except AssociationError as error:
        report.rows.setdefault("C-ECHO", Row()).failures.append(str(error))


async def _store(mesh: DemoMesh, syntax: str, files: list[DicomFile], row: Row) -> None:
    client = await connect_tcp("127.0.0.1", mesh.hospital_port)
    try:
        contexts = [Proposal(name, (syntax,)) for name in sorted({file.sop_class for file in files})]
        await client.associate(called_ae=ARCHIVE, calling_ae=MODALITY, proposals=contexts)
        for file in files:
            status = await client.store(file)
            if status == 0:
                row.objects += 1
                row.size += file.size
            else:
                row.failures.append(f"{file.path.name}: status {status:04X}H")
        await client.release()
    finally:
        client.close()


async def _echo(port: int) -> tuple[float, float]:
    """Return how long an association took to open, and the median of many C-ECHOs on it."""
    client: DicomClient = await connect_tcp("127.0.0.1", port)
    try:
        began = time.perf_counter()
        await client.associate(called_ae=ECHO, calling_ae=MODALITY, proposals=[VERIFICATION])
        opening = time.perf_counter() - began
        times: list[float] = []
        for _ in range(ECHOES):
            began = time.perf_counter()
            await client.echo()
            times.append(time.perf_counter() - began)
        await client.release()
    finally:
        client.close()
    return opening, statistics.median(times)


def _compare(mesh: DemoMesh, report: Report) -> None:
    """Look for every file's data set in the archive, byte for byte."""
    stored = mesh.stored()
    for syntax, files in sample_files().items():
        row = report.rows[syntax]
        for file in files:
            data = file.read() + file.padding
            if (file.sop_instance, syntax, hashlib.sha256(data).hexdigest()) not in stored:
                row.failures.append(f"{file.path.name}: not found byte-identical in the archive")


def _show(console: Console, report: Report) -> int:
    table = Table(box=None, pad_edge=False)
    table.add_column("transfer syntax", no_wrap=True)
    for title in ("objects", "bytes", "time"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("in archive", no_wrap=True)
    for syntax, row in sorted(report.rows.items()):
        verdict = "[red]FAILED" if row.failures else "[green]identical"
        table.add_row(
            _name(syntax), str(row.objects), decimal(row.size), f"{row.seconds * 1e3:.0f} ms", verdict
        )
    console.print(table)
    rows = report.rows.values()
    objects, size, seconds = (
        sum(r.objects for r in rows),
        sum(r.size for r in rows),
        sum(r.seconds for r in rows),
    )
    console.print(
        f"{objects} objects, {decimal(size)}, {len(report.rows)} transfer syntaxes in {seconds:.2f} s",
        highlight=False,
    )
    console.print(
        f"C-ECHO, median of {ECHOES}: {report.direct * 1e3:.2f} ms direct, {report.through * 1e3:.2f} ms through "
        f"the mesh; opening an association through it: {report.opening * 1e3:.1f} ms",
        highlight=False,
        soft_wrap=True,
    )
    failures = report.failures
    if len(report.rows) < WANTED_SYNTAXES:
        failures.append(f"only {len(report.rows)} transfer syntaxes among pydicom's test files")
    for line in failures:
        console.print(f"failed: {line}", style="red", highlight=False, soft_wrap=True)
    console.print("[red]demo failed" if failures else "[green]all is well")
    return 1 if failures else 0


def _wait(console: Console, mesh: DemoMesh) -> None:
    console.print(
        f"\nLeft running until Ctrl-C. Try:\n"
        f"  echoscu -v -aec {ARCHIVE} 127.0.0.1 {mesh.hospital_port}\n"
        f"  storescu -v -aec {ARCHIVE} 127.0.0.1 {mesh.hospital_port} FILE...\n"
        f"  .venv/bin/dimse-mesh echo {ARCHIVE} --nats nats://127.0.0.1:{mesh.nats_port}\n"
        f"  .venv/bin/dimse-mesh send {ARCHIVE} PATH... --nats nats://127.0.0.1:{mesh.nats_port}",
        highlight=False,
        soft_wrap=True,
    )
    mesh.wait()


def _name(syntax: str) -> str:
    from pydicom.uid import UID

    name = UID(syntax).name
    return name if len(name) <= 34 else f"{name[:31]}..."
