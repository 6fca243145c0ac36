"""Ingest while the destination is up, and while it is down; then it comes, and gets everything."""

from __future__ import annotations

import time

from tests.bench.durable.site import DOWN, Bench, send, spread
from tests.bench.scale import row
from tests.bench.ways import COUNTED


def outage(bench: Bench) -> None:
    """Compare ingest while the destination is up with ingest while it is down."""
    print("\n### Ingest while the destination is down\n")
    with bench.destination() as up, bench.destination() as down:
        up.start()
        with bench.two_zones("outage", {COUNTED: up.port, DOWN: down.port}) as mesh:
            entry, owed = mesh.listeners["hospital"], 0
            row("workload", "destination up", "destination down", "speed, down to up")
            row("---", "--:", "--:", "--:")
            for workload in bench.workloads():
                send(entry, COUNTED, workload)
                times: list[tuple[float, float]] = []
                for _ in range(bench.rounds):
                    before = up.count
                    while_up = send(entry, COUNTED, workload)
                    up.wait_for(before + workload.objects)
                    times.append((while_up, send(entry, DOWN, workload)))
                    owed += workload.objects
                ratios = [one / other for one, other in times]
                row(
                    workload.name,
                    *(spread(column, " s") for column in zip(*times, strict=True)),
                    spread(ratios),
                )
                bench.verdicts.at_least(f"{workload.name}: speed of ingest, down to up", ratios, 0.95)
            started = time.perf_counter()
            down.start()
            down.wait_for(owed)
            print(
                f"\nThe destination came: {owed} of {owed} objects in {time.perf_counter() - started:.1f} s."
            )
