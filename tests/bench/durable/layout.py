"""What it brings that an object of one piece is one message: beside a zone that stores it in two (ADR 27)."""

from __future__ import annotations

import statistics
from contextlib import ExitStack

from tests.bench.durable.site import Bench, Way, spread, times
from tests.bench.scale import row
from tests.bench.ways import COUNTED
from tests.bench.workload import Workload
from tests.support.process import cpu_seconds

APART = {"inline_limit": 64 * 1024}
PROCESSES = ("hospital/association", "cloud/delivery", "nats-server")


def layout(bench: Bench) -> None:
    """Compare both in turn: time until all is accepted, and CPU of an object until it is delivered."""
    print("\n### CT in one message each, and in two\n")
    workload = Workload.of("ct", bench.directory / "files")
    ways, meshes = [], []
    with ExitStack() as stack:
        for name, spool in (("two messages", APART), ("one message", {})):
            destination = stack.enter_context(bench.destination())
            destination.start()
            mesh = stack.enter_context(bench.two_zones(name, {COUNTED: destination.port}, spool=spool))
            ways.append(Way(name, mesh.listeners["hospital"], destination))
            meshes.append(mesh)
        cpu: list[dict[str, list[float]]] = [{name: [] for name in PROCESSES} for _ in ways]
        for number in range(bench.rounds + 1):
            for way, mesh, spent in zip(ways, meshes, cpu, strict=True):
                pids = mesh.pids()
                before = {name: cpu_seconds(pids[name]) for name in PROCESSES}
                way.run(workload)
                if not number:
                    way.forget()  # it was to warm up
                    continue
                for name, was in before.items():
                    spent[name].append((cpu_seconds(pids[name]) - was) / workload.objects * 1e3)
    row(
        "ct, every write synced",
        "accepted",
        "speed",
        "CPU an object, ms: front-end",
        "delivery",
        "nats-server",
    )
    row("---", *["--:"] * 5)
    for way, spent in zip(ways, cpu, strict=True):
        speed = times(ways[0].accepted, way.accepted)
        medians = [f"{statistics.median(figures):.2f}" for figures in spent.values()]
        row(way.title, spread(way.accepted, " s"), spread(speed), *medians)
