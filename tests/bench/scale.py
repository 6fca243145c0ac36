"""Show that cost per operation stays flat as associations and operations grow.

    python -m tests.bench.scale                         up to 1,000 associations and 1,000,000 operations: ten minutes
    python -m tests.bench.scale --operations 100000     the short version

Two zones as `dimse-mesh up` runs them, a raw target, C-ECHO on one association while the others are idle. Prints two
tables; fails when the last row of either costs more than `LIMIT` times the first.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench.raw_peer import CONTEXTS, echo_request
from tests.support.mesh import Ae, Mesh, two_zones
from tests.support.ports import reserve_port
from tests.support.process import Child, cpu_seconds, resident_bytes
from tests.support.scripted import Client

LIMIT = 1.5
"""A last row above this many times the first is growth, not noise."""
RAW = "RAW"
ENDPOINTS = ("hospital/association", "cloud/scu")
OPERATIONS_PER_ROW = 2000
KIB = 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """What an operation cost. Times in seconds."""

    median: float
    cpu: Mapping[str, float]
    """By process, for one operation."""


def echoes(client: Client, mesh: Mesh, count: int) -> Cost:
    """Send `count` C-ECHO one after another on an open association."""
    pids = mesh.pids()
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    times = []
    for number in range(count):
        started = time.perf_counter()
        client.send(echo_request(number % 65536))
        client.read_pdu()
        times.append(time.perf_counter() - started)
    cpu = {name: (cpu_seconds(pid) - before[name]) / count for name, pid in pids.items()}
    return Cost(statistics.median(times), cpu)


def resident(mesh: Mesh) -> dict[str, int]:
    """Return the resident bytes of the two endpoints."""
    pids = mesh.pids()
    return {name: resident_bytes(pids[name]) for name in ENDPOINTS}


def row(*cells: object) -> None:
    """Print a row of a table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def by_associations(mesh: Mesh, port: int, counts: list[int]) -> Iterator[float]:
    """Measure with more and more idle associations beside the busy one; yield CPU seconds per operation."""
    row("idle associations", "C-ECHO p50", "CPU per operation", "RSS per association: front-end", "executor")
    row("--:", "--:", "--:", "--:", "--:")
    empty = resident(mesh)
    with ExitStack() as stack:
        busy = stack.enter_context(Client.open(port, called=RAW, contexts=CONTEXTS))
        echoes(busy, mesh, OPERATIONS_PER_ROW)  # warm
        opened = 0
        for count in counts:
            while opened < count:
                stack.enter_context(Client.open(port, called=RAW, contexts=CONTEXTS))
                opened += 1
            cost = echoes(busy, mesh, OPERATIONS_PER_ROW)
            now = resident(mesh)
            each = [f"{(now[name] - empty[name]) / max(opened, 1) / KIB:.0f} KiB" for name in ENDPOINTS]
            total = sum(cost.cpu.values())
            row(f"{count:,}", f"{cost.median * 1e3:.2f} ms", f"{total * 1e6:.0f} us", *each)
            yield total


def by_operations(mesh: Mesh, port: int, limit: int) -> Iterator[float]:
    """Measure the same association after more and more operations; yield CPU seconds per operation."""
    row("operations so far", "C-ECHO p50", "CPU per operation", "RSS front-end", "executor")
    row("--:", "--:", "--:", "--:", "--:")
    with Client.open(port, called=RAW, contexts=CONTEXTS) as client:
        done, goal = 0, OPERATIONS_PER_ROW
        while done < limit:
            cost = echoes(client, mesh, min(goal, limit) - done)
            done = min(goal, limit)
            goal *= 10
            total = sum(cost.cpu.values())
            sizes = [f"{size / KIB / KIB:.1f} MiB" for size in resident(mesh).values()]
            row(f"{done:,}", f"{cost.median * 1e3:.2f} ms", f"{total * 1e6:.0f} us", *sizes)
            yield total


def main() -> int:
    """Run both series; return 1 when one of them grows."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--associations", type=int, default=1000)
    parser.add_argument("--operations", type=int, default=1_000_000)
    options = parser.parse_args()
    counts = [count for count in (1, 10, 100, 1000, 10_000) if count <= options.associations]
    with tempfile.TemporaryDirectory(prefix="dimse-mesh-scale-") as folder, ExitStack() as stack:
        directory = Path(folder)
        target = Ae(RAW, reserve_port(), "cloud")
        peer = Child(
            [sys.executable, "-m", "tests.bench.raw_peer", str(target.port)], log=directory / "peer.log"
        )
        stack.enter_context(peer).wait_for_port(target.port)
        mesh = stack.enter_context(two_zones(directory / "mesh", target=target))
        port = mesh.listeners["hospital"]
        series = [list(by_associations(mesh, port, counts))]
        print()
        series.append(list(by_operations(mesh, port, options.operations)))
    grown = [costs for costs in series if costs[-1] > LIMIT * costs[0]]
    print("\ngrows" if grown else "\nflat", f"(last row at most {LIMIT} times the first)")
    return 1 if grown else 0


if __name__ == "__main__":
    raise SystemExit(main())
