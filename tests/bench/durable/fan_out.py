"""Ingest on a route to three destinations, beside one to a single destination."""

from __future__ import annotations

import time

from tests.bench.durable.commands import command
from tests.bench.durable.site import ACCEPTS, DOWN, Bench, send, spread
from tests.bench.scale import row

ALL = "ALL"
"""Called AE title of the route to all destinations."""
OTHERS = ("SECOND", "THIRD")


def fan_out(bench: Bench) -> None:
    """Compare three destinations with one; they come when everything is stored."""
    print("\n### Three destinations\n")
    with bench.destination() as first, bench.destination() as second, bench.destination() as third:
        ports = dict(zip((DOWN, *OTHERS), (first.port, second.port, third.port), strict=True))
        route = {
            "called": ALL,
            "to": [{"ae": title} for title in ports],
            "delivery": "durable",
            "accepts": ACCEPTS,
        }
        with bench.two_zones("fan-out", ports, more_routes=[route]) as mesh:
            entry, owed, owed_to_all = mesh.listeners["hospital"], 0, 0
            rates: list[float] = []
            row("workload", "one destination", "three destinations", "speed, three to one")
            row("---", "--:", "--:", "--:")
            for workload in bench.workloads():
                send(entry, ALL, workload)
                owed_to_all += workload.objects
                times: list[tuple[float, float]] = []
                for _ in range(bench.rounds):
                    times.append((send(entry, DOWN, workload), send(entry, ALL, workload)))
                    owed += workload.objects
                    owed_to_all += workload.objects
                ratios = [one / three for one, three in times]
                row(
                    workload.name,
                    *(spread(column, " s") for column in zip(*times, strict=True)),
                    spread(ratios),
                )
            counts = (owed + owed_to_all, owed_to_all, owed_to_all)
            for title, each, count in zip(ports, (first, second, third), counts, strict=True):
                started = time.perf_counter()
                each.start()
                command(mesh, "resume", title)
                each.wait_for(count)
                rates.append(count / (time.perf_counter() - started))
            print(f"\nThe destinations came, one by one: {spread(rates)} objects a second each.")
