"""One association over a line with a long round trip between the zones' nats-servers, beside a direct one over it.

    python -m tests.bench.long_line                  round trips of 0, 80 and 200 ms, three rounds
    python -m tests.bench.long_line --rtt 80 --rounds 1

C-STORE of 2 x 200 MB by a raw client to a raw target; the other way, C-GET of the same and the responses of a C-FIND.
Then the C-STORE once more, while another association sends C-ECHOs, one at a time. The leaf link doesn't compress.
Fails when a median is above its limit; `--publish` puts the table into docs/performance.md.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from tests.bench import measure
from tests.bench.durable.site import QUIET, Verdicts, spread
from tests.bench.publish import Tee, marks, publish_section
from tests.bench.raw_peer import CONTEXTS, echo_request
from tests.bench.report import in_one_line, machine
from tests.bench.scale import row
from tests.bench.ways import RAW, WayUnderTest
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.nats import NatsServer
from tests.support.ports import reserve_port
from tests.support.process import Child
from tests.support.scripted import Client

LINE = marks("make bench-line")
ROUND_TRIPS = [0, 80, 200]
"""Milliseconds."""
OBJECTS, SIZE = 2, 200_000_000
RESPONSES = 400_000
"""Of about 300 bytes each."""
LIMITS = {80: 3.0, 200: 3.5}
"""Seconds for the objects, stored or gotten, by round trip in milliseconds."""
MESH, DIRECT = "mesh", "direct"


@dataclass(frozen=True, slots=True)
class FarApart:
    """Two zones, each at its own nats-server, and the relay that is the line between these."""

    mesh: Mesh
    """The hospital's side of it."""
    servers: tuple[NatsServer, NatsServer]
    relay: Child

    def carried(self) -> int:
        """Return how many bytes the line has carried so far, in both directions together."""
        printed = len(self.relay.output.splitlines())
        self.relay.send_signal(signal.SIGUSR1)
        return int(self.relay.wait_for_line(r"^carried \d+$", start=printed).split()[1])


@contextmanager
def far_apart(
    directory: Path, target: int, seconds: float, *, compression: str = "off"
) -> Iterator[FarApart]:
    """Run a hospital at a nats-server that joins the cloud's over a line of so many seconds one way.

    Args:
        compression: of the leaf link, as nats-server spells it.
    """
    with ExitStack() as stack:
        leafs, line = reserve_port(), reserve_port()
        hub = NatsServer(
            directory / "hub",
            config="max_pending: 128MB\n"
            f'leafnodes {{ listen: "127.0.0.1:{leafs}", no_advertise: true, compression: {compression} }}',
        )
        leaf = NatsServer(
            directory / "leaf",
            config="max_pending: 128MB\n"
            f'leafnodes {{ remotes: [{{ url: "nats-leaf://127.0.0.1:{line}", compression: {compression} }}] }}',
        )
        hub.start()
        stack.callback(hub.stop)
        relay = start_relay(stack, directory, line, leafs, seconds)
        leaf.start()
        stack.callback(leaf.stop)
        cloud = zone_config(
            "cloud", remote_aes=[Ae(RAW, target, "cloud")], more={**QUIET, "nats": {"servers": [hub.url]}}
        )
        hospital = zone_config(
            "hospital", listener=reserve_port(), more={**QUIET, "nats": {"servers": [leaf.url]}}
        )
        stack.enter_context(Mesh.start(directory / "far", [cloud], nats_port=hub.port))
        near = stack.enter_context(Mesh.start(directory / "near", [hospital], nats_port=leaf.port))
        yield FarApart(near, (hub, leaf), relay)


def start_relay(stack: ExitStack, directory: Path, listen: int, target: int, seconds: float) -> Child:
    """Run the relay that delays, from one port to another."""
    command = [sys.executable, "-m", "tests.bench.delay", str(listen), str(target), str(seconds)]
    relay = stack.enter_context(Child(command, log=directory / f"delay-{listen}.log"))
    relay.wait_for_port(listen)
    return relay


@contextmanager
def echoes(way: WayUnderTest) -> Iterator[list[float]]:
    """Send C-ECHOs for the length of the block, one after the other; yield the seconds that each took."""
    took: list[float] = []
    ended = threading.Event()

    def ask() -> None:
        with Client.open(way.entry[RAW], called=RAW, contexts=CONTEXTS, timeout=120) as client:
            number = 0
            while not ended.wait(0.02):
                number += 1
                started = time.perf_counter()
                client.send(echo_request(number))
                client.read_pdu()
                took.append(time.perf_counter() - started)
            client.release()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield took
    finally:
        ended.set()
        asking.join()


def store(way: WayUnderTest, *, beside: bool) -> tuple[float, list[float]]:
    """Store the objects on one association; return the seconds, and those of C-ECHOs beside."""
    with ExitStack() as stack:
        took = stack.enter_context(echoes(way)) if beside else []
        seconds = measure.huge(way, size=SIZE, objects=OBJECTS).seconds
    return seconds, took


def compare(directory: Path, target: int, rtt: int, rounds: int, verdicts: Verdicts) -> None:
    """Measure one round trip time, print its rows, and hold them against its limit."""
    directory.mkdir()
    with ExitStack() as stack:
        direct = reserve_port()
        start_relay(stack, directory, direct, target, rtt / 2000)
        mesh = stack.enter_context(far_apart(directory, target, rtt / 2000)).mesh
        ways = [
            WayUnderTest(DIRECT, "direct", {RAW: direct}),
            WayUnderTest(MESH, "mesh", {RAW: mesh.listeners["hospital"]}),
        ]
        stored: dict[str, list[float]] = {way.name: [] for way in ways}
        gotten: dict[str, list[float]] = {way.name: [] for way in ways}
        found: dict[str, list[float]] = {way.name: [] for way in ways}
        beside: dict[str, list[float]] = {way.name: [] for way in ways}
        echoed: dict[str, list[float]] = {way.name: [] for way in ways}
        for _ in range(rounds):
            for way in ways:
                stored[way.name].append(store(way, beside=False)[0])
                gotten[way.name].append(measure.get(way, size=SIZE, objects=OBJECTS).seconds)
                found[way.name].append(measure.find(way, responses=RESPONSES, count=1).seconds)
                seconds, took = store(way, beside=True)
                beside[way.name].append(seconds)
                echoed[way.name] += took
        for way in ways:
            row(
                f"{rtt} ms",
                way.title,
                spread(stored[way.name], " s"),
                spread(gotten[way.name], " s"),
                spread(found[way.name], " s"),
                spread(beside[way.name], " s"),
                spread([took * 1000 for took in echoed[way.name]], " ms"),
            )
    if rtt in LIMITS:
        verdicts.at_most(f"{rtt} ms: C-STORE", stored[MESH], LIMITS[rtt], " s")
        verdicts.at_most(f"{rtt} ms: C-GET", gotten[MESH], LIMITS[rtt], " s")


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; None: that of this process."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.long_line", description=__doc__)
    parser.add_argument("--rtt", type=int, nargs="*", default=ROUND_TRIPS, help="round trips, milliseconds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--publish", action="store_true", help="write docs/performance.md")
    options = parser.parse_args(arguments)
    if options.publish and options.rtt != ROUND_TRIPS:
        parser.error("--publish replaces the whole table: leave out --rtt")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 1: a limit is broken."""
    options = options_of(arguments)
    verdicts = Verdicts()
    with ExitStack() as stack:
        printed = stack.enter_context(redirect_stdout(Tee()))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dimse-mesh-line-")))
        target = reserve_port()
        raw = Child([sys.executable, "-m", "tests.bench.raw_peer", str(target)], log=directory / "raw.log")
        stack.enter_context(raw).wait_for_port(target)
        print(in_one_line(machine()))
        command = " ".join(
            ["python -m tests.bench.long_line", *(sys.argv[1:] if arguments is None else arguments)]
        )
        print(f"\n`{command}`, {options.rounds} rounds: median (range)\n")
        objects = f"{OBJECTS} x {SIZE // 10**6} MB"
        titles = (
            f"C-STORE of {objects}",
            f"C-GET of {objects}",
            "C-FIND",
            "C-STORE, C-ECHOs beside",
            "C-ECHO",
        )
        row("round trip", "way", *titles)
        row("--:", "---", *["--:"] * len(titles))
        for rtt in options.rtt:
            compare(directory / str(rtt), target, rtt, options.rounds, verdicts)
        verdicts.show()
    if options.publish:
        publish_section(printed.getvalue(), LINE)
    return int(verdicts.broken > 0)


if __name__ == "__main__":
    sys.exit(main())
