"""How fast an honest client is beside a hostile one: each flood in turn, begun and ended round after round.

    python -m tests.bench.fairness --rounds 10

Prints the honest client's C-ECHOs a second (one after the other, on an open association), alone and beside each flood,
and fails where the median of the ratios is below a half. A round is so short that other load of the machine weighs on
both of its halves alike. What the flood got done is printed, too: a flood that the mesh has ended is none.
"""

from __future__ import annotations

import argparse
import signal
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trustme

from tests.bench.raw_peer import CONTEXTS, STORE
from tests.bench.report import machine
from tests.support.certificates import write_pair
from tests.support.mesh import Ae, Mesh, zone_config
from tests.support.ports import reserve_port
from tests.support.process import Child
from tests.support.scripted import Client
from tests.support.wire import (
    CT_STORAGE,
    VERIFICATION,
    Command,
    Tag,
    associate_rq,
    p_data,
    pdu,
    pdv,
    request,
)

RAW = "RAW"
SECONDS = 0.4
SETTLE = 0.3
MUST = 0.5
PDUS = 2000
ECHO_CONTEXT = next(context.id for context in CONTEXTS if context.abstract == VERIFICATION)


def echoes_a_second(client: Client) -> float:
    """Echo for a while."""
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        client.echo(count % 65535 + 1, context_id=ECHO_CONTEXT)
        count += 1
    return count / (time.perf_counter() - started)


def empty_pdvs() -> bytes:
    """Return PDUs full of empty fragments: of a command that never ends."""
    one = pdv(ECHO_CONTEXT, is_command=True, is_last=False, fragment=b"")
    return pdu(4, one * 1000) * (PDUS // 100)


def tiny_operations() -> bytes:
    """Return C-ECHO-RQs, as many as come."""
    return b"".join(
        p_data(request(Command.C_ECHO, number % 65535 + 1, VERIFICATION, context_id=ECHO_CONTEXT))
        for number in range(PDUS)
    )


def tiny_fragments() -> bytes:
    """Return PDUs full of fragments of two bytes, of a data set that never ends."""
    return pdu(4, pdv(STORE, is_command=False, is_last=False, fragment=bytes(2)) * 1000) * (PDUS // 100)


def endless_store() -> bytes:
    """Return the C-STORE-RQ that has it."""
    more: dict[int, int | str | bytes] = {
        Tag.PRIORITY: 0,
        Tag.AFFECTED_SOP_INSTANCE: "1.2.3",
        Tag.DATA_SET_TYPE: 1,
    }
    return p_data(request(Command.C_STORE, 1, CT_STORAGE, context_id=STORE, more=more))


def sending(port: int, make: Callable[[], bytes], begin: Callable[[], bytes] = bytes) -> None:
    """Send on one association, on another when that ends, and read what comes back."""
    flood = make()
    while True:
        with suppress(AssertionError, OSError), Client.open(port, called=RAW, contexts=CONTEXTS) as client:
            done["associations"] += 1
            threading.Thread(target=_drain, args=(client,), daemon=True).start()
            client.send(begin())
            while True:
                done["bytes"] += client.sock.send(flood)


def _drain(client: Client) -> None:
    with suppress(OSError):
        while client.sock.recv(1 << 16):
            pass


done: Counter[str] = Counter()
"""What a flood has done so far."""


def _report() -> None:
    while True:
        time.sleep(0.2)
        print(", ".join(f"{count} {what}" for what, count in done.items()), flush=True)


def connecting(port: int) -> None:
    """Connect, say nothing, and connect again."""
    held: list[Client] = []
    while True:
        with suppress(OSError):
            held.append(Client.connect(port))
            done["connections"] += 1
        if len(held) > 200:
            held.pop(0).close()


def associating(port: int) -> None:
    """Ask for associations as fast as they are refused or given."""
    asked = associate_rq(called=RAW, contexts=CONTEXTS)
    while True:
        with suppress(AssertionError, OSError), Client.connect(port) as client:
            done["asked"] += 1
            client.associate(asked)
            done["associations"] += 1
            client.release()


def shaking_hands(port: int) -> None:
    """Make TLS connections, and go when they stand."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    while True:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", port), 30) as plain,
            context.wrap_socket(plain),
        ):
            done["handshakes"] += 1


TLS_HANDSHAKES = "TLS handshakes"
FLOODS: dict[str, Callable[[int], None]] = {
    "empty PDVs": lambda port: sending(port, empty_pdvs),
    "tiny fragments": lambda port: sending(port, tiny_fragments, endless_store),
    "tiny operations": lambda port: sending(port, tiny_operations),
    "idle connections": connecting,
    "associations": associating,
    TLS_HANDSHAKES: shaking_hands,
}


@contextmanager
def flooding(flood: str, port: int, directory: Path) -> Iterator[Child]:
    """Run a flood in a process of its own for the length of the block."""
    command = [sys.executable, "-m", "tests.bench.fairness", "--flood", flood, "--port", str(port)]
    with Child(command, log=directory / "flood.log") as child:
        child.wait_for_line("[1-9]")
        yield child


def main() -> int:
    """Measure; return 1 if an honest client gets less than half of its speed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fairness", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", help="measure beside this flood alone", choices=FLOODS)
    parser.add_argument("--flood", help="be the hostile client", choices=FLOODS)
    parser.add_argument("--port", type=int, help="of the listener that is flooded")
    options = parser.parse_args()
    # So that everything started is stopped when `timeout` ends the bench.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.flood:
        threading.Thread(target=_report, daemon=True).start()
        FLOODS[options.flood](options.port)
    rounds = options.rounds
    floods = [options.only] if options.only else list(FLOODS)
    print("; ".join(f"{name}: {value}" for name, value in machine().items()))
    print(f"\n`python -m tests.bench.fairness`, {rounds} rounds: C-ECHOs a second, median (range)\n")
    ratios: dict[str, list[float]] = {name: [] for name in floods}
    speeds: dict[str, list[float]] = {name: [] for name in floods}
    alone: list[float] = []
    did: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="dimse-mesh-bench-") as name:
        directory, target = Path(name), reserve_port()
        raw = Child([sys.executable, "-m", "tests.bench.raw_peer", str(target)], log=directory / "raw.log")
        plain, secure = reserve_port(), reserve_port()
        tls = {"cert": str(directory / "tls.crt"), "key": str(directory / "tls.key")}
        write_pair(trustme.CA().issue_cert("localhost"), Path(tls["cert"]), Path(tls["key"]))
        listeners = [
            {"host": "127.0.0.1", "port": plain},
            {"host": "127.0.0.1", "port": secure, "tls": tls},
        ]
        configs = [
            zone_config("hospital", more={"association": {"listeners": listeners}}),
            zone_config("cloud", remote_aes=[Ae(RAW, target, "cloud")]),
        ]
        with raw, Mesh.start(directory / "mesh", configs) as mesh:
            raw.wait_for_port(target)
            port = mesh.listeners["hospital"]
            with Client.open(port, called=RAW, contexts=CONTEXTS, timeout=120) as client:
                for flood in floods:
                    for _ in range(rounds):
                        flooded = secure if flood == TLS_HANDSHAKES else port
                        with flooding(flood, flooded, directory) as child:
                            speeds[flood].append(echoes_a_second(client))
                            did[flood] = child.output.splitlines()[-1]
                        time.sleep(SETTLE)
                        alone.append(echoes_a_second(client))
                        ratios[flood].append(speeds[flood][-1] / alone[-1])
                client.release()
    broken = 0
    print("| beside | C-ECHOs a second | of the speed alone | the flood |\n| --- | --: | --: | --- |")
    print(f"| nothing | {statistics.median(alone):.0f} ({min(alone):.0f} - {max(alone):.0f}) | | |")
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
