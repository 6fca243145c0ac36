"""The demo's durable route: its target is down while objects are stored, NATS is killed, and all of them arrive."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import anyio

from dimse_mesh.app.demo_mesh import VAULT, DemoMesh
from dimse_mesh.app.demo_objects import association, compare, contexts_of
from dimse_mesh.app.demo_peer import listening
from dimse_mesh.app.demo_report import Report
from dimse_mesh.app.demo_samples import Sample
from dimse_mesh.app.file_sender import store_file
from dimse_mesh.client import Proposal

PATIENCE = 30.0
"""Seconds for NATS, and then for every object, to come back."""
LOOK = 0.02
NATS_SERVER = "nats-server"


async def durable(report: Report, mesh: DemoMesh, samples: Sequence[Sample]) -> None:
    """Store for a target that is down; kill NATS; start the target, and compare what it gets."""
    with report.operation("C-STORE, durable") as line:
        proposals = [Proposal(sop_class, (syntax,)) for sop_class, syntax in contexts_of(samples)]
        async with association(mesh.hospital_port, VAULT, proposals) as client:
            for sample in samples:
                status = await store_file(client, sample.file)
                line.count += 1
                line.size = (line.size or 0) + sample.file.size
                if status:
                    line.failures.append(f"{sample.file.path.name}: status {status:04X}H")
        if not await _kill_nats(mesh.supervisor.pid):
            line.failures.append("there is no nats-server to be killed")
        async with listening(mesh.vault_port) as received:
            await _until(lambda: len(received.objects) >= len(samples))
            compare(line, samples, received.objects)
        line.verdict = "identical, NATS was killed"


async def _kill_nats(supervisor: int) -> bool:
    """Kill the nats-server of a supervisor, and wait until it has started another one; False: there is none.

    Raises:
        TimeoutError: it starts none.
    """
    killed = _nats_server(supervisor)
    if killed is None:
        return False
    os.kill(killed, signal.SIGKILL)
    await _until(lambda: _nats_server(supervisor) not in {None, killed})
    return True


def _children(process: int) -> Iterator[str]:
    """Yield the process ids of the children of a process, whichever of its threads has started them."""
    for thread in Path(f"/proc/{process}/task").iterdir():
        found = ""
        with suppress(OSError):  # a thread that has ended meanwhile
            found = (thread / "children").read_text()
        yield from found.split()


def _nats_server(supervisor: int) -> int | None:
    """Return the process id of a supervisor's nats-server; None: there is none now."""
    for child in _children(supervisor):
        try:
            name = Path(f"/proc/{child}/comm").read_text().strip()
            state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if name == NATS_SERVER and state != "Z":
            return int(child)
    return None


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for something to happen.

    Raises:
        TimeoutError: it doesn't.
    """
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - of other processes
            await anyio.sleep(LOOK)
