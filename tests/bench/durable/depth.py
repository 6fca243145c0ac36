"""What a queue costs as it grows: commands, delivery, memory, start."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import time

import yaml

from tests.bench.durable.site import DOWN, Bench, Destination, send
from tests.bench.scale import row
from tests.bench.workload import Workload
from tests.support.mesh import COMMAND, Mesh
from tests.support.process import cpu_seconds, resident_bytes, wait_until

MIB = 1024 * 1024


def command(mesh: Mesh, *arguments: str) -> float:
    """Run a `queue` command on the hospital's zone; return the CPU seconds that it and nats-server have used."""
    path = mesh.directory / "operator.yaml"
    config = yaml.safe_load((mesh.directory / "hospital.yaml").read_text())
    config["nats"] = {"servers": [f"nats://127.0.0.1:{mesh.nats_port}"]}
    path.write_text(yaml.safe_dump(config))
    server = mesh.pids()["nats-server"]
    before, own = cpu_seconds(server), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [*COMMAND, "queue", *arguments, "--config", str(path)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - own.ru_utime - own.ru_stime + cpu_seconds(server) - before


def depth(bench: Bench) -> None:
    """Measure commands, delivery and memory at growing depths of a queue."""
    print("\n## What a deep queue costs\n")
    workload = Workload.of("small", bench.directory / "files")
    steps = [count for count in (1_000, 10_000, 100_000, 1_000_000) if count <= bench.objects]
    with bench.destination() as down, bench.two_zones("depth", {DOWN: down.port}) as mesh:
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
