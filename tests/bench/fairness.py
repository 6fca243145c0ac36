"""How fast an honest client is beside a hostile peer: each flood in turn, begun and ended round after round.

    python -m tests.bench.fairness --rounds 10

Prints an honest client's operations a second (one after the other, on an open association), alone and beside each
flood of `tests.bench.floods`, and fails where the median of the ratios is below a half. They are C-ECHOs, and C-FINDs
of one match beside what goes to the same handler. A round is so short that other load of the machine weighs on both of
its halves alike. The first row is a program that computes and leaves the mesh alone: what any other process costs on
this machine. What a flood got done is printed, too: a flood that the mesh has ended is none.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

from tests.bench.floods import ECHO_CONTEXT, FLOOD, FLOODS, RAW
from tests.bench.raw_peer import CONTEXTS, find_request
from tests.bench.report import in_one_line, machine
from tests.support.certificates import write_pair
from tests.support.mesh import SERVICES, Ae, Mesh, zone_config
from tests.support.ports import reserve_port, reserve_ports
from tests.support.process import Child
from tests.support.scripted import Client

SECONDS = 0.4
SETTLE = 0.3
MUST = 0.5


def echo(client: Client, message_id: int) -> None:
    """Verify."""
    client.echo(message_id, context_id=ECHO_CONTEXT)


def find(client: Client, message_id: int) -> None:
    """Ask for one match."""
    client.send(find_request(message_id, 1))
    client.receive_message()
    client.receive_message()


def a_second(client: Client, operation: Callable[[Client, int], None]) -> float:
    """Return how many operations there are a second."""
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        operation(client, count % 65535 + 1)
        count += 1
    return count / (time.perf_counter() - started)


@contextmanager
def flooding(flood: str, port: int, target: int, directory: Path) -> Iterator[Child]:
    """Run a flood in a process of its own for the length of the block."""
    command = [
        sys.executable,
        "-m",
        "tests.bench.floods",
        flood,
        "--port",
        str(port),
        "--target",
        str(target),
    ]
    with Child(command, log=directory / "flood.log") as child:
        child.wait_for_line("[1-9]")
        yield child


def main() -> int:
    """Measure; return 1 if an honest client gets less than half of its speed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fairness", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", action="append", help="measure beside this flood alone", choices=FLOODS)
    options = parser.parse_args()
    # So that everything started is stopped when `timeout` ends the bench.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rounds = options.rounds
    floods: list[str] = options.only or list(FLOODS)
    print(in_one_line(machine()))
    print(f"\n`python -m tests.bench.fairness`, {rounds} rounds: operations a second, median (range)\n")
    ratios: dict[str, list[float]] = {name: [] for name in floods}
    speeds: dict[str, list[float]] = {name: [] for name in floods}
    alone: dict[str, list[float]] = {}
    did: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="dimse-mesh-bench-") as name:
        directory, target, hostile = Path(name), reserve_port(), reserve_port()
        raw = Child([sys.executable, "-m", "tests.bench.raw_peer", str(target)], log=directory / "raw.log")
        plain, secure, pages = reserve_port(), reserve_port(), reserve_ports(len(SERVICES))
        tls = {"cert": str(directory / "tls.crt"), "key": str(directory / "tls.key")}
        write_pair(trustme.CA().issue_cert("localhost"), Path(tls["cert"]), Path(tls["key"]))
        listeners = [
            {"host": "127.0.0.1", "port": plain},
            {"host": "127.0.0.1", "port": secure, "tls": tls},
        ]
        http = {"host": "127.0.0.1", "port": pages}  # the front-end's
        configs = [
            zone_config(
                "hospital", more={"association": {"listeners": listeners}, "observability": {"http": http}}
            ),
            zone_config("cloud", remote_aes=[Ae(RAW, target, "cloud"), Ae(FLOOD, hostile, "cloud")]),
        ]
        with raw, Mesh.start(directory / "mesh", configs) as mesh:
            raw.wait_for_port(target)
            port = mesh.listeners["hospital"]
            with Client.open(port, called=RAW, contexts=CONTEXTS, timeout=120) as client:
                for flood in floods:
                    operation = find if flood == "tiny queries" else echo
                    kind = "TLS" if flood.startswith("TLS") else flood
                    flooded = {"TLS": secure, "health pages": pages}.get(kind, port)
                    for _ in range(rounds):
                        with flooding(flood, flooded, hostile, directory) as child:
                            speeds[flood].append(a_second(client, operation))
                            did[flood] = child.output.splitlines()[-1]
                        time.sleep(SETTLE)
                        now = a_second(client, operation)
                        alone.setdefault(operation.__name__, []).append(now)
                        ratios[flood].append(speeds[flood][-1] / now)
                client.release()
    broken = 0
    print("| beside | operations a second | of the speed alone | the flood |\n| --- | --: | --: | --- |")
    for what, figures in alone.items():
        middle = statistics.median(figures)
        print(f"| nothing, C-{what.upper()} | {middle:.0f} ({min(figures):.0f} - {max(figures):.0f}) | | |")
    for flood, figures in speeds.items():
        share = ratios[flood]
        middle = statistics.median(share)
        broken += middle < MUST
        print(
            f"| {flood} | {statistics.median(figures):.0f} ({min(figures):.0f} - {max(figures):.0f}) "
            f"| {middle:.2f} ({min(share):.2f} - {max(share):.2f}) | {did[flood]} |"
        )
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
