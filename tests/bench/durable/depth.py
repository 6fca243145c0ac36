"""What a queue costs as it grows: commands, delivery, memory, start."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import time
from functools import partial

import yaml

from tests.bench.durable.site import DOWN, PATIENCE, Bench, Destination, send
from tests.bench.scale import row
from tests.bench.workload import Workload
from tests.support.mesh import COMMAND, Mesh
from tests.support.process import cpu_seconds, resident_bytes, wait_until
from tests.support.scripted import Server, ServerPeer
from tests.support.wire import response

MIB = 1024 * 1024
REFUSES = "REFUSES"


def command(mesh: Mesh, *arguments: str) -> float:
    """Run a `queue` command on the hospital's zone; return the CPU seconds that it and nats-server have used."""
    server = mesh.pids()["nats-server"]
    before, own = cpu_seconds(server), resource.getrusage(resource.RUSAGE_CHILDREN)
    said(mesh, *arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - own.ru_utime - own.ru_stime + cpu_seconds(server) - before


def said(mesh: Mesh, *arguments: str) -> str:
    """Run a `queue` command on the hospital's zone; return what it prints."""
    path = mesh.directory / "operator.yaml"
    config = yaml.safe_load((mesh.directory / "hospital.yaml").read_text())
    config["nats"] = {"servers": [f"nats://127.0.0.1:{mesh.nats_port}"]}
    path.write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [*COMMAND, "queue", *arguments, "--config", str(path)],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return done.stdout


def depth(bench: Bench) -> None:
    """Measure commands, delivery and memory at growing depths of a queue."""
    print("\n## What a deep queue costs\n")
    workload = Workload.of("small", bench.directory / "files")
    steps = [count for count in (1_000, 10_000, 100_000, 1_000_000) if count <= bench.objects]
    with (
        bench.destination() as down,
        Server(refuse) as refusing,
        bench.two_zones("depth", {DOWN: down.port, REFUSES: refusing.port}) as mesh,
    ):
        entry, queued = mesh.listeners["hospital"], 0
        row(
            "objects queued",
            "queue list, CPU",
            "queue show, CPU",
            "delivery starts anew",
            "delivery, RSS",
            "store, RSS",
            "nats-server, RSS",
        )
        row(*["--:"] * 7)
        starts, lists = [], []
        for step in steps:
            while queued < step:
                send(entry, DOWN, workload)
                queued += workload.objects
            lists.append(command(mesh, "list"))
            shown = command(mesh, "show", DOWN)
            starts.append(restarted(mesh))
            sizes = [
                f"{resident_bytes(mesh.pids()[name]) / MIB:.0f} MiB"
                for name in ("cloud/delivery", "hospital/store", "nats-server")
            ]
            row(f"{queued:,}", f"{lists[-1]:.2f} s", f"{shown:.2f} s", f"{starts[-1]:.2f} s", *sizes)
        bench.verdicts.at_least(
            "queue list: CPU at the first depth to the last", [lists[0] / lists[-1]], 0.67
        )
        bench.verdicts.at_least(
            "start of delivery: time at the first depth to the last", [starts[0] / starts[-1]], 0.67
        )
        print()
        row("objects left", "objects a second", "CPU an object: delivery", "nats-server", "delivery, RSS")
        row(*["--:"] * 5)
        costs = [drained(mesh, down, left, queued) for left in reversed([0, *steps[:-1]])]
        bench.verdicts.at_least(
            "delivery: CPU an object in a short queue to that in a deep one", [costs[-1] / costs[0]], 0.67
        )
        retried(bench, mesh, workload)


def refuse(peer: ServerPeer) -> None:
    """Be a destination that supports no SOP class: what it gets becomes dead letters."""
    peer.sink_for = lambda _: lambda _: None
    peer.accept_association()
    peer.serve(lambda message: [response(message, status=0x0122)])


def retried(bench: Bench, mesh: Mesh, workload: Workload) -> None:
    """Measure what it costs to put dead letters back into the queue, at growing numbers of them."""
    print()
    row("dead letters", "queue retry, CPU an object", "in wall time")
    row(*["--:"] * 3)
    costs, stored = [], 0
    for step in (count for count in (1_000, 10_000) if count <= bench.objects):
        while stored < step:
            send(mesh.listeners["hospital"], REFUSES, workload)
            stored += workload.objects
        all_buried = partial(is_buried, mesh, stored)
        wait_until(all_buried, "all are dead letters", timeout=PATIENCE)
        started = time.perf_counter()
        costs.append(command(mesh, "retry", REFUSES) / stored)
        took = time.perf_counter() - started
        row(f"{stored:,}", f"{costs[-1] * 1e6:.0f} us", f"{took / stored * 1e6:.0f} us")
    bench.verdicts.at_least("queue retry: CPU an object, few to many", [costs[0] / costs[-1]], 0.67)


def is_buried(mesh: Mesh, count: int) -> bool:
    """Tell whether there are so many dead letters."""
    return count <= sum(int(json.loads(line)["failed"]) for line in said(mesh, "list", "--json").splitlines())


def restarted(mesh: Mesh) -> float:
    """Kill the delivery service; return the seconds until the next one has tried to deliver the first object."""
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
    begun, started = down.count, time.perf_counter()
    before = {name: cpu_seconds(pids[name]) for name in ("cloud/delivery", "nats-server")}
    down.wait_for(queued - left)
    count, seconds = down.count - begun, time.perf_counter() - started
    each = {name: (cpu_seconds(pids[name]) - was) / count for name, was in before.items()}
    memory = f"{resident_bytes(pids['cloud/delivery']) / MIB:.0f} MiB"
    micro = [f"{value * 1e6:.0f} us" for value in each.values()]
    row(f"{queued - down.count:,}", f"{count / seconds:.0f}", *micro, memory)
    return sum(each.values())
