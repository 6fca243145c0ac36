"""What a client that never stops takes from a live one on the same machine: live, durable, or of Orthanc."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.bench.durable.beside_orthanc import auto_routing
from tests.bench.durable.site import LIVE, Bench, Destination, send, spread
from tests.bench.scale import row
from tests.bench.ways import COUNTED
from tests.bench.workload import Workload
from tests.support.mesh import Mesh
from tests.support.process import cpu_seconds

PROCESSES = (
    "hospital/association",
    "hospital/store",
    "cloud/scu",
    "cloud/delivery",
    "nats-server",
)
LIVE_RUNS = 3
"""Runs of the live client that are timed together: one takes half a second, in which a process start counts."""
BEFORE = 0.5
"""Seconds for which the other client is at work before the live one starts."""


@dataclass(slots=True)
class Other:
    """A client beside the live one, over and over again."""

    title: str
    port: int
    called: str
    """Called AE title."""
    workload: Workload
    destination: Destination
    """Where its objects arrive."""
    runs: int = 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Keep it at work for the length of the block; at its end everything is delivered."""
        enough = threading.Event()

        def work() -> None:
            while not enough.is_set():
                send(self.port, self.called, self.workload)
                self.runs += 1

        thread = threading.Thread(target=work)
        thread.start()
        try:
            time.sleep(BEFORE)
            yield
        finally:
            enough.set()
            thread.join()
            self.destination.wait_for(self.runs * self.workload.objects)


def live(bench: Bench) -> None:
    """Compare live traffic alone with live traffic beside each other client."""
    print("\n### Live traffic beside another client that never stops\n")
    workload = bench.workloads()[1]
    with ExitStack() as stack:
        durable, direct, forwarded = (stack.enter_context(bench.destination()) for _ in range(3))
        for each in (durable, direct, forwarded):
            each.start()
        mesh = stack.enter_context(bench.two_zones("live", {COUNTED: durable.port, LIVE: direct.port}))
        orthanc = auto_routing(bench, stack, forwarded, no_delay=True)
        entry = mesh.listeners["hospital"]
        others = (
            Other("another live one", entry, LIVE, workload, direct),
            Other("a durable one", entry, COUNTED, workload, durable),
            Other("one of Orthanc, which forwards", orthanc.port, COUNTED, workload, forwarded),
        )
        send(entry, LIVE, workload)  # to warm up
        row(
            "beside the live client",
            "its speed, to alone",
            "objects of the other that arrive meanwhile, a second",
        )
        row("---", "--:", "--:")
        ratios: dict[str, list[float]] = {other.title: [] for other in others}
        rates: dict[str, list[float]] = {other.title: [] for other in others}
        for _ in range(bench.rounds):
            alone = _live_runs(entry, workload)
            for other in others:
                with other.at_work():
                    before = other.destination.count
                    took = _live_runs(entry, workload)
                    arrived = other.destination.count - before
                if other.destination is direct:
                    arrived -= LIVE_RUNS * workload.objects  # those of the live client itself
                ratios[other.title].append(alone / took)
                rates[other.title].append(arrived / took)
        for other in others:
            row(other.title, spread(ratios[other.title]), spread(rates[other.title]))
        print()
        row("CPU an object, ms", *PROCESSES, "together")
        row("---", *["--:"] * (len(PROCESSES) + 1))
        for title, called in (("live", LIVE), ("durable, until it is delivered", COUNTED)):
            cost = _cost(mesh, entry, called, workload, durable if called == COUNTED else None)
            figures = [*cost.values(), sum(cost.values())]
            row(title, *(f"{figure * 1e3:.2f}" for figure in figures))
        print()
        bench.verdicts.at_least(
            "ct, live: speed beside a durable client that never stops, to alone", ratios["a durable one"], 0.8
        )


def _live_runs(port: int, workload: Workload) -> float:
    """Return the seconds that the live client takes for its runs."""
    return sum(send(port, LIVE, workload) for _ in range(LIVE_RUNS))


def _cost(
    mesh: Mesh, port: int, called: str, workload: Workload, destination: Destination | None
) -> Mapping[str, float]:
    """Return the CPU seconds that each process takes for an object of a client alone."""
    pids, begun = mesh.pids(), 0 if destination is None else destination.count
    before = {name: cpu_seconds(pids[name]) for name in PROCESSES}
    send(port, called, workload)
    if destination is not None:
        destination.wait_for(begun + workload.objects)
    return {name: (cpu_seconds(pids[name]) - was) / workload.objects for name, was in before.items()}
