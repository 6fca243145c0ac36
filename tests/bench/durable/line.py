"""Ingest and delivery over a leaf link with a long round trip, beside a live and a direct association over it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from tests.bench.durable.site import LIVE, QUIET, Bench, Way, routes, send, spread, times
from tests.bench.scale import row
from tests.bench.ways import COUNTED
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.nats import NatsServer
from tests.support.ports import reserve_port
from tests.support.process import Child

ROUND_TRIP = 0.080
"""Seconds."""
SLOW_ROUNDS = 2
"""Of one association that waits for each response."""


@contextmanager
def leaf_site(bench: Bench, name: str, aes: Mapping[str, int], seconds: float) -> Iterator[Mesh]:
    """Run a hospital at its own nats-server, which joins the cloud's over a line of so many seconds one way."""
    with ExitStack() as stack:
        directory, leafs, line, domain = bench.directory / name, reserve_port(), reserve_port(), "hospital"
        hub = NatsServer(
            directory / "hub",
            config=f'jetstream {{ store_dir: "{directory}/hub/js", domain: hub, sync_interval: always }}\n'
            f'leafnodes {{ listen: "127.0.0.1:{leafs}", no_advertise: true, compression: off }}',
        )
        relay = [sys.executable, "-m", "tests.bench.delay", str(line), str(leafs), str(seconds)]
        leaf = NatsServer(
            directory / "leaf",
            config=f'jetstream {{ store_dir: "{directory}/leaf/js", domain: {domain}, sync_interval: always }}\n'
            f'leafnodes {{ remotes: [{{ url: "nats-leaf://127.0.0.1:{line}", compression: off }}] }}',
        )
        hub.start()
        stack.callback(hub.stop)
        stack.enter_context(Child(relay, log=directory / "delay.log")).wait_for_port(line)
        leaf.start()
        stack.callback(leaf.stop)
        cloud = zone_config(
            "cloud",
            remote_aes=[Ae(title, port, "cloud") for title, port in aes.items()],
            more={
                **QUIET,
                "nats": {"servers": [hub.url]},
                "delivery": {"domains": [domain]},
                "instances": {"delivery": 1},
            },
        )
        hospital = zone_config(
            "hospital",
            listener=reserve_port(),
            routes=routes(aes),
            more={**QUIET, "nats": {"servers": [leaf.url]}, "spool": {"domain": domain}},
        )
        stack.enter_context(Mesh.start(directory / "far", [cloud], nats_port=hub.port))
        yield stack.enter_context(Mesh.start(directory / "near", [hospital], nats_port=leaf.port))


def line(bench: Bench) -> None:
    """Compare a line of 80 ms with the same two nats-servers side by side, and with one nats-server for both zones.

    What is asked is what the line costs. That a second nats-server and the relay want the same two cores costs more
    than that, so the figure beside one nats-server is printed and not judged.
    """
    print(f"\n### Over a line with a round trip of {ROUND_TRIP * 1e3:.0f} ms\n")
    workload = bench.workloads()[1]
    with ExitStack() as stack:
        of_one, near, far = (stack.enter_context(bench.destination()) for _ in range(3))
        for destination in (of_one, near, far):
            destination.start()
        shared = stack.enter_context(bench.two_zones("one-nats-server", {COUNTED: of_one.port}))
        short = stack.enter_context(leaf_site(bench, "short", {COUNTED: near.port}, 0))
        long = stack.enter_context(
            leaf_site(bench, "long", {COUNTED: far.port, LIVE: far.port}, ROUND_TRIP / 2)
        )
        direct = reserve_port()
        relay = [sys.executable, "-m", "tests.bench.delay", str(direct), str(far.port), str(ROUND_TRIP / 2)]
        stack.enter_context(Child(relay, log=bench.directory / "direct.log")).wait_for_port(direct)
        one = Way("durable, one nats-server", shared.listeners["hospital"], of_one)
        local = Way("durable, leaf link without delay", short.listeners["hospital"], near)
        delayed = Way("durable, leaf link of 80 ms", long.listeners["hospital"], far)
        ways = (one, local, delayed)
        for number in range(bench.rounds + 1):
            for way in ways:
                way.run(workload)
            if not number:  # warm
                for way in ways:
                    way.forget()
        # Not in turn with those: they take so long that what they leave idle is cold afterwards.
        live: list[float] = []
        straight: list[float] = []
        for _ in range(SLOW_ROUNDS):
            live.append(send(long.listeners["hospital"], LIVE, workload))
            straight.append(send(direct, COUNTED, workload))
    row("ct, by way", "accepted", "delivered", "80 ms to it: accepted", "delivered")
    row("---", *["--:"] * 4)
    for way in ways:
        row(
            way.title,
            spread(way.accepted, " s"),
            spread(way.delivered, " s"),
            spread(times(way.accepted, delayed.accepted)),
            spread(times(way.delivered, delayed.delivered)),
        )
    row("live, 80 ms, one association", spread(live, " s"), "", "", "")
    row("direct, 80 ms, one association", spread(straight, " s"), "", "", "")
    at_least = bench.verdicts.at_least
    at_least("ct: speed of ingest, 80 ms to no delay", times(local.accepted, delayed.accepted), 0.9)
    at_least("ct: speed of delivery, 80 ms to no delay", times(local.delivered, delayed.delivered), 0.8)
