"""What a queue costs as it grows: commands, delivery, memory, start."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import time
from collections.abc import Sequence
from functools import partial

from tests.bench.durable.commands import command, said
from tests.bench.durable.site import DOWN, PATIENCE, Bench, Destination, send, spread
from tests.bench.scale import row
from tests.bench.workload import Workload
from tests.support.mesh import Mesh
from tests.support.process import cpu_seconds, resident_bytes, wait_until
from tests.support.scripted import Server, ServerPeer
from tests.support.wire import response

MIB = 1024 * 1024
REFUSES = "REFUSES"
RESTARTS = 3
SETTLED = 10.5
"""Seconds after which the supervisor starts a child again at once."""
FLAT = 0.67
"""What a figure at the first depth is of that at the last one, at least."""


def depth(bench: Bench) -> None:
    """Measure commands, delivery and memory at growing depths of a queue."""
    print("\n### What a deep queue costs\n")
    workload = Workload.of("small", bench.directory / "files")
    steps = [count for count in (1_000, 10_000, 100_000, 1_000_000) if count <= bench.objects]
    with (
        bench.destination() as down,
        Server(refuse) as refusing,
        bench.two_zones("depth", {DOWN: down.port, REFUSES: refusing.port}) as mesh,
    ):
        queued = looked_at(bench, mesh, workload, steps)
        print()
        row("objects left", "objects a second", "CPU an object: delivery", "nats-server", "delivery, RSS")
        row(*["--:"] * 5)
        costs = [drained(mesh, down, left, queued) for left in reversed([0, *steps[:-1]])]
        bench.verdicts.at_least(
            "delivery: CPU an object in a short queue to that in a deep one", [costs[-1] / costs[0]], FLAT
        )
        decided(bench, mesh, workload, steps)


def looked_at(bench: Bench, mesh: Mesh, workload: Workload, steps: Sequence[int]) -> int:
    """Measure what it costs to look at a queue as it grows, and to start its delivery; return its depth."""
    queued = 0
    row(
        "objects queued",
        "queue list, CPU",
        "queue why, CPU",
        "queue show, CPU",
        "all of them, an object",
        "delivery starts anew",
        "delivery, RSS",
        "store, RSS",
        "nats-server, RSS",
    )
    row(*["--:"] * 9)
    starts, lists, shows = [], [], []
    for step in steps:
        while queued < step:
            send(mesh.listeners["hospital"], DOWN, workload)
            queued += workload.objects
        listed, why, shown = (command(mesh, *words) for words in (["list"], ["why"], ["show", DOWN]))
        whole = command(mesh, "show", DOWN, "--max", "0").each(queued, why)
        started = [restarted(mesh) for _ in range(RESTARTS)]
        lists.append(listed.cpu)
        shows.append(whole)
        starts.append(statistics.median(started))
        sizes = [
            f"{resident_bytes(mesh.pids()[name]) / MIB:.0f} MiB"
            for name in ("cloud/delivery", "hospital/store", "nats-server")
        ]
        looks = [f"{spent.cpu:.2f} s" for spent in (listed, why, shown)]
        row(f"{queued:,}", *looks, f"{whole * 1e6:.0f} us", spread(started, " s"), *sizes)
    at_least = bench.verdicts.at_least
    at_least("queue list: CPU at the first depth to the last", [lists[0] / lists[-1]], FLAT)
    second = shows[min(1, len(shows) - 1)]  # at the first depth it is less than what a start varies by
    at_least("queue show: CPU an object at the second depth to the last", [second / shows[-1]], FLAT)
    at_least("start of delivery: time at the first depth to the last", [starts[0] / starts[-1]], FLAT)
    return queued


def refuse(peer: ServerPeer) -> None:
    """Be a destination that supports no SOP class: what it gets becomes dead letters."""
    peer.sink_for = lambda _: lambda _: None
    peer.accept_association()
    peer.serve(lambda message: [response(message, status=0x0122)])


def decided(bench: Bench, mesh: Mesh, workload: Workload, steps: Sequence[int]) -> None:
    """Measure what it costs to export dead letters, to put them back into the queue, and to remove them."""
    print()
    row("dead letters", "each: queue export", "queue retry", "queue drop", "in wall time", "peak memory")
    row("--:", *["--:"] * 5)
    costs: list[list[float]] = []
    for number, step in enumerate(steps):
        for _ in range(0, step, workload.objects):
            send(mesh.listeners["hospital"], REFUSES, workload)
        all_buried = partial(is_buried, mesh, step)
        wait_until(all_buried, "all are dead letters", timeout=PATIENCE)
        command(mesh, "pause", REFUSES)
        start = command(mesh, "why")
        folder = str(bench.directory / f"exported-{number}")
        spent = [
            command(mesh, "export", REFUSES, folder, "--failed"),
            command(mesh, "retry", REFUSES),
            command(mesh, "drop", REFUSES, "--waiting", "--yes"),
        ]
        command(mesh, "resume", REFUSES)
        costs.append([each.each(step, start) for each in spent])
        row(
            f"{step:,}",
            *(f"{cost * 1e6:.0f} us" for cost in costs[-1]),
            ", ".join(f"{each.wall / step * 1e6:.0f} us" for each in spent),
            f"{max(each.peak for each in spent) / MIB:.0f} MiB",
        )
    for name, few, many in zip(("export", "retry", "drop"), costs[0], costs[-1], strict=True):
        bench.verdicts.at_least(f"queue {name}: CPU an object, few to many", [few / many], FLAT)


def is_buried(mesh: Mesh, count: int) -> bool:
    """Tell whether there are so many dead letters."""
    return count <= sum(int(json.loads(line)["failed"]) for line in said(mesh, "list", "--json").splitlines())


def restarted(mesh: Mesh) -> float:
    """Kill the delivery service; return the seconds until the next one has tried to deliver the first object."""
    time.sleep(SETTLED)  # one that dies sooner is started again after a pause
    before, started = tried(mesh), time.perf_counter()
    os.kill(mesh.pids()["cloud/delivery"], signal.SIGKILL)
    wait_until(lambda: tried(mesh) > before, "the next delivery service tries", timeout=60)
    return time.perf_counter() - started


def tried(mesh: Mesh) -> set[str]:
    """Return the instances of the delivery service that have found nobody to deliver to."""
    return set(re.findall(r"service=delivery .*instance=(\w+) .*trying again", mesh.log.read_text()))


def drained(mesh: Mesh, down: Destination, left: int, queued: int) -> float:
    """Deliver until so many are left; return CPU seconds an object, of delivery and nats-server."""
    pids = mesh.pids()
    if down.child is None:
        down.start()
        command(mesh, "resume", DOWN)  # it has waited longer and longer for its next attempt
        down.wait_for(1)
    begun, started = down.count, time.perf_counter()
    before = {name: cpu_seconds(pids[name]) for name in ("cloud/delivery", "nats-server")}
    down.wait_for(queued - left)
    count, seconds = down.count - begun, time.perf_counter() - started
    each = {name: (cpu_seconds(pids[name]) - was) / count for name, was in before.items()}
    memory = f"{resident_bytes(pids['cloud/delivery']) / MIB:.0f} MiB"
    micro = [f"{value * 1e6:.0f} us" for value in each.values()]
    row(f"{queued - down.count:,}", f"{count / seconds:.0f}", *micro, memory)
    return sum(each.values())
