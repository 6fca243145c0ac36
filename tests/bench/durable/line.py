"""Ingest and delivery over a leaf link with a long round trip, beside a live and a direct association over it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from tests.bench.durable.site import LIVE, QUIET, Bench, Way, routes, send, spread
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
def leaf_site(bench: Bench, aes: Mapping[str, int], seconds: float) -> Iterator[Mesh]:
    """Run a hospital at its own nats-server, which joins the cloud's over a line of so many seconds one way."""
    with ExitStack() as stack:
        leafs, line, domain = reserve_port(), reserve_port(), "hospital"
        hub = NatsServer(
            bench.directory / "hub",
            config=f'jetstream {{ store_dir: "{bench.directory}/hub/js", domain: hub, sync_interval: always }}\n'
            f'leafnodes {{ listen: "127.0.0.1:{leafs}", no_advertise: true, compression: off }}',
        )
        relay = [sys.executable, "-m", "tests.bench.delay", str(line), str(leafs), str(seconds)]
        leaf = NatsServer(
            bench.directory / "leaf",
            config=f'jetstream {{ store_dir: "{bench.directory}/leaf/js", domain: {domain}, sync_interval: always }}\n'
            f'leafnodes {{ remotes: [{{ url: "nats-leaf://127.0.0.1:{line}", compression: off }}] }}',
        )
        hub.start()
        stack.callback(hub.stop)
        stack.enter_context(Child(relay, log=bench.directory / "delay.log")).wait_for_port(line)
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
        stack.enter_context(Mesh.start(bench.directory / "far", [cloud], nats_port=hub.port))
        yield stack.enter_context(Mesh.start(bench.directory / "near", [hospital], nats_port=leaf.port))


def line(bench: Bench) -> None:
    """Compare a line of 80 ms with the local network."""
    print(f"\n### Over a line with a round trip of {ROUND_TRIP * 1e3:.0f} ms\n")
    workload = bench.workloads()[1]
    with ExitStack() as stack:
        near, far = (stack.enter_context(bench.destination()) for _ in range(2))
        near.start()
        far.start()
        lan = stack.enter_context(bench.two_zones("lan", {COUNTED: near.port, LIVE: near.port}))
        direct = reserve_port()
        relay = [sys.executable, "-m", "tests.bench.delay", str(direct), str(far.port), str(ROUND_TRIP / 2)]
        stack.enter_context(Child(relay, log=bench.directory / "direct.log")).wait_for_port(direct)
        long = stack.enter_context(leaf_site(bench, {COUNTED: far.port, LIVE: far.port}, ROUND_TRIP / 2))
        ways = [
            Way("durable, local network", lan.listeners["hospital"], near),
            Way("durable, 80 ms", long.listeners["hospital"], far),
        ]
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
        row("way", "accepted", "delivered")
        row("---", "--:", "--:")
        for way in ways:
            row(way.title, spread(way.accepted, " s"), spread(way.delivered, " s"))
        row("live, 80 ms, one association", spread(live, " s"), "")
        row("direct, 80 ms, one association", spread(straight, " s"), "")
        for what, must, mine, theirs in (
            ("ingest", 0.9, ways[1].accepted, ways[0].accepted),
            ("delivery", 0.8, ways[1].delivered, ways[0].delivered),
        ):
            ratios = [lan / line for line, lan in zip(mine, theirs, strict=True)]
            bench.verdicts.at_least(f"ct: speed of {what}, line to local network", ratios, must)
