"""What durable delivery costs, beside what one would use instead.

    python -m tests.bench.durable                            every part
    python -m tests.bench.durable --only outage,line --rounds 3

outage   ingest while the destination is up, and while it is down; then it comes, and gets everything
orthanc  acceptance and delivery beside Orthanc's auto-routing; live traffic alone, and beside durable traffic
line     the same over a leaf link with a round trip of 80 ms, beside a live and a direct association over it
depth    what a queue of up to --objects costs: commands, delivery, memory, start

Prints tables, and a verdict for each figure that issue 13 names.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.bench.report import machine
from tests.bench.ways import AUTO_ROUTE, COUNTED
from tests.bench.workload import Workload
from tests.support import dcmtk
from tests.support.mesh import COMMAND, Ae, Mesh, zone_config
from tests.support.nats import NatsServer
from tests.support.orthanc import Orthanc
from tests.support.ports import reserve_port
from tests.support.process import Child, cpu_seconds, resident_bytes, wait_until
from tests.support.wire import CT_STORAGE, EXPLICIT_LE

PATIENCE = 600.0
ROUND_TRIP = 0.080
LIVE, DOWN = "LIVE", "DOWN"
ACCEPTS = [{"sop_class": CT_STORAGE, "transfer_syntaxes": [EXPLICIT_LE]}]
MIB = 1024 * 1024


def say(*cells: object) -> None:
    """Print a row of a table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def spread(figures: Sequence[float], unit: str = "") -> str:
    """Return median and range."""
    return f"{statistics.median(figures):.2f}{unit} ({min(figures):.2f} - {max(figures):.2f})"


@dataclass(slots=True)
class Verdicts:
    """Figures against what they must be."""

    broken: int = 0

    def at_least(self, what: str, figures: Sequence[float], must: float) -> None:
        """Print whether the median is at least that."""
        held = statistics.median(figures) >= must
        self.broken += not held
        print(f"{'ok    ' if held else 'BROKEN'} {what}: {spread(figures)}, at least {must:g}", flush=True)


@dataclass(slots=True)
class Destination:
    """A storescp whose objects are counted."""

    port: int
    directory: Path
    child: Child | None = None
    before: int = 0
    """Objects that earlier processes have received."""

    def start(self) -> None:
        """Begin to listen."""
        options: list[str | int] = ["--ignore", "--fork", "-pdu", 131072]
        where = self.directory / f"up-{time.monotonic_ns()}"
        self.child, _ = dcmtk.storescp(
            where, port=self.port, ae_title=COUNTED, more=options, env=dcmtk.NO_DELAY
        )

    @property
    def count(self) -> int:
        """Objects that it has received."""
        return 0 if self.child is None else self.child.output.count("Received Store Request")

    def wait_for(self, count: int) -> None:
        """Wait until it has received so many."""
        wait_until(lambda: self.count >= count, f"{count} objects are delivered", timeout=PATIENCE)

    def stop(self) -> None:
        """End it."""
        if self.child is not None:
            self.child.stop()
            self.child = None


def send(port: int, called: str, workload: Workload, *, clients: int = 1) -> float:
    """Send the workload with storescu, from so many clients at once; return the seconds until all are answered."""
    workload.make()
    workload.read()
    command = [*(f"{dcmtk.BIN}/storescu", "-R", "-aec", called, "-pdu", "131072", "+sd")]
    command += ["127.0.0.1", str(port), str(workload.directory)]
    env = {**os.environ, **dcmtk.NO_DELAY}
    started = time.perf_counter()
    running = [subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL) for _ in range(clients)]
    codes = [process.wait() for process in running]
    seconds = time.perf_counter() - started
    if any(codes):
        raise SystemExit(f"storescu to {called} ended with {codes}")
    return seconds


@dataclass(slots=True)
class Bench:
    """What every part needs."""

    directory: Path
    rounds: int
    objects: int
    verdicts: Verdicts = field(default_factory=Verdicts)

    def workloads(self) -> list[Workload]:
        """Return the two that are compared."""
        return [Workload.of(name, self.directory / "files") for name in ("small", "ct")]

    @contextmanager
    def destination(self) -> Iterator[Destination]:
        """Reserve a port for a destination, and end what listens there afterwards."""
        found = Destination(reserve_port(), self.directory)
        try:
            yield found
        finally:
            found.stop()

    def two_zones(
        self, name: str, aes: Mapping[str, int], *, nats: NatsServer | None = None, **cloud: Any
    ) -> Mesh:
        """Start a hospital, durable but for LIVE, and a cloud; `nats`: instead of an embedded server."""
        more: dict[str, Any] = {"observability": {"log_level": "warning", "tracing_ratio": 0.1}}
        if nats is not None:
            more["nats"] = {"servers": [nats.url]}
        hospital = zone_config("hospital", listener=reserve_port(), routes=routes(aes), more=more)
        served = [Ae(title, port, "cloud") for title, port in aes.items()]
        return Mesh.start(
            self.directory / name,
            [hospital, zone_config("cloud", remote_aes=served, more={**more, **cloud})],
            nats_port=None if nats is None else nats.port,
        )


def routes(aes: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return a route for each AE: durable, but for LIVE."""
    return [
        {
            "called": title,
            "to": {"ae": title},
            **({} if title == LIVE else {"delivery": "durable", "accepts": ACCEPTS}),
        }
        for title in aes
    ]


def outage(bench: Bench) -> None:
    """Compare ingest while the destination is up with ingest while it is down."""
    print("\n## Ingest while the destination is down\n")
    with bench.destination() as up, bench.destination() as down:
        up.start()
        with bench.two_zones("outage", {COUNTED: up.port, DOWN: down.port}) as mesh:
            entry, owed = mesh.listeners["hospital"], 0
            say("workload", "destination up", "destination down", "speed, down to up")
            say("---", "--:", "--:", "--:")
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
                say(
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


@dataclass(slots=True)
class Way:
    """A way to a destination that answers before it has delivered."""

    title: str
    port: int
    destination: Destination
    accepted: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)
    clear: Callable[[], None] = lambda: None

    def forget(self) -> None:
        """Forget what was measured."""
        self.accepted.clear()
        self.delivered.clear()

    def run(self, workload: Workload, *, called: str = COUNTED) -> None:
        """Measure once."""
        before, started = self.destination.count, time.perf_counter()
        self.accepted.append(send(self.port, called, workload))
        self.destination.wait_for(before + workload.objects)
        self.delivered.append(time.perf_counter() - started)
        self.clear()


@dataclass(frozen=True, slots=True)
class Must:
    """What durable delivery must reach, as times Orthanc's speed."""

    accepted: float
    accepted_by_default: float | None
    """With nats-server's default, which syncs every two minutes; None: nothing is asked."""
    delivered: float


MUST = {"small": Must(1.3, 2.0, 10.0), "ct": Must(1.0, None, 1.5)}


def auto_routing(
    bench: Bench, stack: ExitStack, destination: Destination, name: str, env: Mapping[str, str]
) -> Way:
    """Start an Orthanc that forwards what it stores."""
    started = stack.enter_context(
        Orthanc.start(
            bench.directory / name,
            modalities={"sink": (COUNTED, destination.port)},
            lua=AUTO_ROUTE,
            env=env,
            verbose=False,
        )
    )

    def forget() -> None:
        for patient in started.get("/patients"):
            started.delete(f"/patients/{patient}")

    return Way(name, started.dicom_port, destination, clear=forget)


def orthanc(bench: Bench) -> None:
    """Compare with Orthanc's auto-routing, and live traffic alone with live traffic beside."""
    print("\n## Beside Orthanc's auto-routing\n")
    with ExitStack() as stack:
        destinations = [stack.enter_context(bench.destination()) for _ in range(4)]
        for each in destinations:
            each.start()
        aes = {COUNTED: destinations[0].port, LIVE: destinations[0].port}
        always = stack.enter_context(bench.two_zones("always", aes))
        server = NatsServer(bench.directory / "default-nats")
        server.start()
        stack.callback(server.stop)
        default = stack.enter_context(
            bench.two_zones("default", {COUNTED: destinations[1].port}, nats=server)
        )
        synced = Way("durable, every write synced", always.listeners["hospital"], destinations[0])
        unsynced = Way("durable, nats-server's default", default.listeners["hospital"], destinations[1])
        quick = auto_routing(bench, stack, destinations[2], "Orthanc, TCP_NODELAY=1", dcmtk.NO_DELAY)
        stock = auto_routing(bench, stack, destinations[3], "Orthanc, as installed", {})
        ways = (synced, unsynced, quick, stock)
        say(
            "workload",
            "way",
            "accepted",
            "delivered",
            "x TCP_NODELAY=1: accepted",
            "delivered",
            "x as installed: delivered",
        )
        say("---", "---", *["--:"] * 5)
        for workload in bench.workloads():
            for way in ways:
                way.forget()
            for number in range(bench.rounds + 1):
                for way in ways:
                    way.run(workload)
                    if not number:
                        way.forget()  # it was to warm up
            for way in ways:
                say(
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
        beside(bench, always.listeners["hospital"], destinations[0])


def times(theirs: Sequence[float], ours: Sequence[float]) -> list[float]:
    """Return how many times faster we were, in each round."""
    return [other / own for other, own in zip(theirs, ours, strict=True)]


def beside(bench: Bench, port: int, destination: Destination) -> None:
    """Compare live traffic alone with live traffic beside durable traffic that goes on all the time."""
    workload = bench.workloads()[1]
    ratios = []
    for _ in range(bench.rounds):
        alone = send(port, LIVE, workload)
        enough = threading.Event()
        sent = 0

        def keep_sending(enough: threading.Event = enough) -> None:
            nonlocal sent
            while not enough.is_set():
                send(port, COUNTED, workload)
                sent += workload.objects

        before = destination.count
        thread = threading.Thread(target=keep_sending)
        thread.start()
        ratios.append(alone / send(port, LIVE, workload))
        enough.set()
        thread.join()
        destination.wait_for(before + sent + workload.objects)
    print()
    bench.verdicts.at_least("ct, live: speed beside a durable client that never stops, to alone", ratios, 0.8)


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
        quiet = {"observability": {"log_level": "warning", "tracing_ratio": 0.1}}
        cloud = zone_config(
            "cloud",
            remote_aes=[Ae(title, port, "cloud") for title, port in aes.items()],
            more={
                **quiet,
                "nats": {"servers": [hub.url]},
                "delivery": {"domains": [domain]},
                "instances": {"delivery": 1},
            },
        )
        hospital = zone_config(
            "hospital",
            listener=reserve_port(),
            routes=routes(aes),
            more={**quiet, "nats": {"servers": [leaf.url]}, "spool": {"domain": domain}},
        )
        stack.enter_context(Mesh.start(bench.directory / "far", [cloud], nats_port=hub.port))
        yield stack.enter_context(Mesh.start(bench.directory / "near", [hospital], nats_port=leaf.port))


def line(bench: Bench) -> None:
    """Compare a line of 80 ms with the local network."""
    print(f"\n## Over a line with a round trip of {ROUND_TRIP * 1e3:.0f} ms\n")
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
        live: list[float] = []
        straight: list[float] = []
        for number in range(bench.rounds + 1):
            for way in ways:
                way.run(workload)
            live.append(send(long.listeners["hospital"], LIVE, workload))
            straight.append(send(direct, COUNTED, workload))
            if not number:  # warm
                live.clear()
                straight.clear()
                for way in ways:
                    way.forget()
        say("way", "accepted", "delivered")
        say("---", "--:", "--:")
        for way in ways:
            say(way.title, spread(way.accepted, " s"), spread(way.delivered, " s"))
        say("live, 80 ms, one association", spread(live, " s"), "")
        say("direct, 80 ms, one association", spread(straight, " s"), "")
        for what, must, mine, theirs in (
            ("ingest", 0.9, ways[1].accepted, ways[0].accepted),
            ("delivery", 0.8, ways[1].delivered, ways[0].delivered),
        ):
            ratios = [lan / line for line, lan in zip(mine, theirs, strict=True)]
            bench.verdicts.at_least(f"ct: speed of {what}, line to local network", ratios, must)


def command(mesh: Mesh, *arguments: str) -> float:
    """Run a `queue` command on the hospital's zone; return its seconds."""
    path = mesh.directory / "operator.yaml"
    config = yaml.safe_load((mesh.directory / "hospital.yaml").read_text())
    config["nats"] = {"servers": [f"nats://127.0.0.1:{mesh.nats_port}"]}
    path.write_text(yaml.safe_dump(config))
    started = time.perf_counter()
    subprocess.run(
        [*COMMAND, "queue", *arguments, "--config", str(path)], check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - started


def depth(bench: Bench) -> None:
    """Measure commands, delivery and memory at growing depths of a queue."""
    print("\n## What a deep queue costs\n")
    workload = Workload.of("small", bench.directory / "files")
    steps = [count for count in (1_000, 10_000, 100_000, 1_000_000) if count <= bench.objects]
    with bench.destination() as down, bench.two_zones("depth", {DOWN: down.port}) as mesh:
        entry, queued = mesh.listeners["hospital"], 0
        say(
            "objects queued",
            "queue list",
            "queue show",
            "delivery starts anew",
            "delivery, RSS",
            "store, RSS",
            "nats-server, RSS",
        )
        say(*["--:"] * 7)
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
            say(f"{queued:,}", f"{lists[-1]:.2f} s", f"{shown:.2f} s", f"{starts[-1]:.2f} s", *sizes)
        bench.verdicts.at_least(
            "queue list: time at the first depth to the last", [lists[0] / lists[-1]], 0.67
        )
        bench.verdicts.at_least(
            "start of delivery: time at the first depth to the last", [starts[0] / starts[-1]], 0.67
        )
        print()
        say("objects left", "objects a second", "CPU an object: delivery", "nats-server", "delivery, RSS")
        say(*["--:"] * 5)
        costs = [drained(mesh, down, left, queued) for left in reversed([0, *steps[:-1]])]
        bench.verdicts.at_least(
            "delivery: CPU an object in a short queue to that in a deep one", [costs[-1] / costs[0]], 0.67
        )


def restarted(mesh: Mesh) -> float:
    """Kill the delivery service; return the seconds until the next one says what its queue waits for."""
    before = mesh.pids()["cloud/delivery"]
    started = time.perf_counter()
    os.kill(before, signal.SIGKILL)
    wait_until(
        lambda: mesh.pids().get("cloud/delivery", before) != before, "another delivery service", timeout=60
    )
    pid = mesh.pids()["cloud/delivery"]
    # It is at rest when it has looked into its queue and found nobody to deliver to.
    seen = -1.0
    while seen != (seen := cpu_seconds(pid)):
        time.sleep(0.3)
    return time.perf_counter() - started


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
    say(f"{queued - down.count:,}", f"{count / seconds:.0f}", *micro, memory)
    return sum(each.values())


PARTS: dict[str, Callable[[Bench], None]] = {
    "outage": outage,
    "orthanc": orthanc,
    "line": line,
    "depth": depth,
}


def main() -> int:
    """Run the parts; return 1 if a figure isn't what it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.durable", description=__doc__)
    parser.add_argument("--only", default="", help="parts, separated by commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--objects", type=int, default=100_000, help="depth of the deepest queue")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print("; ".join(f"{name}: {value}" for name, value in machine().items()))
    print(
        f"\n`python -m tests.bench.durable {' '.join(sys.argv[1:])}`, {options.rounds} rounds: median (range)"
    )
    verdicts = Verdicts()
    for name in options.only.split(",") if options.only else PARTS:
        with tempfile.TemporaryDirectory(prefix="dimse-mesh-bench-") as directory:
            PARTS[name](Bench(Path(directory), options.rounds, options.objects, verdicts))
    return int(verdicts.broken > 0)


if __name__ == "__main__":
    sys.exit(main())
