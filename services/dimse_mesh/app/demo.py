"""The `demo` command: two zones, an archive, every DIMSE service through the mesh, every byte compared.

this process (a modality)                                                archive
  |        ^                                                            ^      |
  v        |                                                            |      v
hospital: front-end, executor  <------------- NATS ------------->  cloud: executor, front-end
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from rich.console import Console

from dimse_mesh.app import demo_durable, demo_objects, demo_workflow
from dimse_mesh.app.demo_mesh import ARCHIVE, MODALITY, DemoMesh, demo_mesh
from dimse_mesh.app.demo_peer import listening
from dimse_mesh.app.demo_report import Report, show
from dimse_mesh.app.demo_samples import samples

WANTED_SYNTAXES = 10


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
            console.print(
                f"two zones, NATS and an archive are ready after {time.perf_counter() - began:.1f} s"
            )
            report = Report()
            anyio.run(partial(_exercise, mesh, report))
            code = show(console, report)
            if stay and code == 0:
                _wait(console, mesh)
    return code


async def _exercise(mesh: DemoMesh, report: Report) -> None:
    files = samples()
    async with listening(mesh.echo_port, mesh.modality_port) as received:
        await demo_objects.echo(report, mesh)
        await demo_objects.store(report, mesh, files)
        await demo_objects.find(report, mesh, files)
        await demo_objects.get(report, mesh, files)
        await demo_objects.move(report, mesh, files, received)
        await demo_workflow.performed_procedure_step(report, mesh)
        await demo_workflow.commitment_on_same_association(report, mesh, files)
        await demo_workflow.commitment_on_new_association(report, mesh, files, received)
        await demo_durable.durable(report, mesh, files)
    syntaxes = len({sample.file.transfer_syntax for sample in files})
    if syntaxes < WANTED_SYNTAXES:
        report.lines[0].failures.append(f"only {syntaxes} transfer syntaxes among pydicom's test files")


def _wait(console: Console, mesh: DemoMesh) -> None:
    nats = f"--nats nats://127.0.0.1:{mesh.nats_port}"
    command = ".venv/bin/dimse-mesh"
    console.print(
        f"\nLeft running until Ctrl-C. Try:\n"
        f"  echoscu -v -aec {ARCHIVE} 127.0.0.1 {mesh.hospital_port}\n"
        f"  storescu -v -aec {ARCHIVE} 127.0.0.1 {mesh.hospital_port} FILE...\n"
        f"  {command} send {ARCHIVE} PATH... {nats}\n"
        f"  {command} find {ARCHIVE} -k PatientName='C*' {nats}\n"
        f"  {command} get {ARCHIVE} -k StudyInstanceUID=UID --output DIR {nats}\n"
        f"  {command} move {ARCHIVE} --to {MODALITY} -k StudyInstanceUID=UID {nats}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    anyio.run(_stay, mesh)


async def _stay(mesh: DemoMesh) -> None:
    """Go on being the modality, so that what is moved to it arrives, until the zones have ended."""
    async with listening(mesh.echo_port, mesh.modality_port):
        await anyio.to_thread.run_sync(mesh.wait, abandon_on_cancel=True)
