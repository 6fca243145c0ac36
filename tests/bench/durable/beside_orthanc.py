"""Acceptance and delivery beside Orthanc's auto-routing."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from tests.bench.durable.site import Bench, Destination, Way, spread, times
from tests.bench.scale import row
from tests.bench.ways import COUNTED, NO_DELAY, orthanc_auto_routing
from tests.support.nats import NatsServer


@dataclass(frozen=True, slots=True)
class Must:
    """What durable delivery must reach, as times Orthanc's speed."""

    accepted: float
    accepted_by_default: float | None
    """With nats-server's default, which syncs every two minutes; None: nothing is asked."""
    delivered: float


MUST = {"small": Must(1.3, 2.0, 10.0), "ct": Must(1.0, None, 1.5)}


def auto_routing(bench: Bench, stack: ExitStack, destination: Destination, *, no_delay: bool) -> Way:
    """Start an Orthanc that forwards what it stores."""
    found = orthanc_auto_routing(stack, destination.port, bench.directory, no_delay=no_delay)
    return Way(found.title, found.entry[NO_DELAY], destination, clear=found.clear)


def orthanc(bench: Bench) -> None:
    """Compare with Orthanc's auto-routing."""
    print("\n### Beside Orthanc's auto-routing\n")
    with ExitStack() as stack:
        destinations = [stack.enter_context(bench.destination()) for _ in range(4)]
        for each in destinations:
            each.start()
        always = stack.enter_context(bench.two_zones("always", {COUNTED: destinations[0].port}))
        server = NatsServer(bench.directory / "default-nats")
        server.start()
        stack.callback(server.stop)
        default = stack.enter_context(
            bench.two_zones("default", {COUNTED: destinations[1].port}, nats=server)
        )
        synced = Way("durable, every write synced", always.listeners["hospital"], destinations[0])
        unsynced = Way("durable, nats-server's default", default.listeners["hospital"], destinations[1])
        quick = auto_routing(bench, stack, destinations[2], no_delay=True)
        stock = auto_routing(bench, stack, destinations[3], no_delay=False)
        ways = (synced, unsynced, quick, stock)
        row(
            "workload",
            "way",
            "accepted",
            "delivered",
            "x TCP_NODELAY=1: accepted",
            "delivered",
            "x as installed: delivered",
        )
        row("---", "---", *["--:"] * 5)
        for workload in bench.workloads():
            for way in ways:
                way.forget()
            # What takes half a minute comes behind the others: they would be cold after it, the first one most.
            for in_turn in ((synced, unsynced, quick), (stock,)):
                for number in range(bench.rounds + 1):
                    for way in in_turn:
                        way.run(workload)
                        if not number:
                            way.forget()  # it was to warm up
            for way in ways:
                row(
                    workload.name,
                    way.title,
                    spread(way.accepted, " s"),
                    spread(way.delivered, " s"),
                    spread(times(quick.accepted, way.accepted)),
                    spread(times(quick.delivered, way.delivered)),
                    spread(times(stock.delivered, way.delivered)),
                )
            must, at_least = MUST[workload.name], bench.verdicts.at_least
            name = workload.name
            at_least(
                f"{name}, synced: accepted, x TCP_NODELAY=1",
                times(quick.accepted, synced.accepted),
                must.accepted,
            )
            if must.accepted_by_default is not None:
                at_least(
                    f"{name}, default: accepted, x TCP_NODELAY=1",
                    times(quick.accepted, unsynced.accepted),
                    must.accepted_by_default,
                )
            at_least(
                f"{name}, synced: delivered, x as installed",
                times(stock.delivered, synced.delivered),
                must.delivered,
            )
