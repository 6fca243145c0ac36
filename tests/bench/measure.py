"""One measurement: a workload over one way, timed, with the CPU time that each process of the way used."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from tests.bench.raw_peer import (
    CONTEXTS,
    GET_CONTEXTS,
    GET_ROLE,
    blank_object,
    echo_request,
    find_request,
    get_request,
)
from tests.bench.ways import NO_DELAY, RAW, STOCK, Targets, WayUnderTest
from tests.bench.workload import Workload
from tests.support.dcmtk import BIN
from tests.support.dcmtk import NO_DELAY as NO_DELAY_ENV
from tests.support.process import cpu_seconds, reset_peak, resident_bytes, wait_until
from tests.support.scripted import Client
from tests.support.wire import Command, response

DELIVERY_TIMEOUT = 60.0


class RunFailed(Exception):
    """A client failed: the measurement is void."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one measurement gave."""

    seconds: float
    """The figure compared: wall time, or the median of single operations."""
    operations: int
    gigabytes: float = 0.0
    accepted: float | None = None
    """Ways that forward: seconds until the client was done, before delivery."""
    cpu: Mapping[str, float] = field(default_factory=dict)
    resident: Mapping[str, int] = field(default_factory=dict)
    """The most that each process held meanwhile, in bytes."""
    grown: Mapping[str, int] = field(default_factory=dict)
    """How much that is above what it held before."""


def _with_costs(way: WayUnderTest, run: Callable[[], Sample]) -> Sample:
    pids = dict(way.pids())
    for pid in pids.values():
        reset_peak(pid)
    held = {name: resident_bytes(pid) for name, pid in pids.items()}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    sample = run()
    cpu = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
    peaks = {name: resident_bytes(pid, peak=True) for name, pid in pids.items()}
    grown = {name: peak - held[name] for name, peak in peaks.items()}
    return replace(sample, cpu=cpu, resident=peaks, grown=grown)


def storescu(
    port: int, called: str, workload: Workload, *, env: Mapping[str, str], clients: int = 1
) -> float:
    """Run `clients` storescu that each send the workload on one association; return the seconds until all are done.

    Args:
        env: of theirs, beside our own, in which TCP_NODELAY doesn't count.

    Raises:
        RunFailed: one of them did not succeed.
    """
    command = [f"{BIN}/storescu", "-R", "-aec", called, "-pdu", "131072", "+sd", "127.0.0.1", str(port)]
    environment = {key: value for key, value in os.environ.items() if key != "TCP_NODELAY"}
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        running = [
            subprocess.Popen(
                [*command, str(workload.directory)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**environment, **env},
            )
            for _ in range(clients)
        ]
        codes = [process.wait() for process in running]
        seconds = time.perf_counter() - started
        if any(codes):
            output.seek(0)
            said = output.read()[-2000:].decode(errors="replace")
            raise RunFailed(f"storescu to {called} at port {port} ended with {codes}:\n{said}")
    return seconds


def store(way: WayUnderTest, targets: Targets, workload: Workload, *, clients: int, stock: bool) -> Sample:
    """Time `clients` storescu that each send the whole workload on one association.

    A few small objects go the same way before: while other ways were measured, the kernel may have dropped pages of
    what stood idle (this machine's does, by DAMON_RECLAIM), and reading them again from disk is nobody's speed.

    Raises:
        RunFailed: one of them did not succeed.
    """
    warm_up = workload.smallest()
    warm_up.make()
    workload.make()
    workload.read()
    title = STOCK if stock else NO_DELAY
    port = way.entry[title]
    env = {} if stock else NO_DELAY_ENV

    def send(what: Workload, clients: int) -> Sample:
        received = targets.count() + clients * what.objects
        started = time.perf_counter()
        seconds = accepted = storescu(port, title, what, env=env, clients=clients)
        if way.forwards:
            wait_until(lambda: targets.count() >= received, "delivery", timeout=DELIVERY_TIMEOUT)
            seconds = time.perf_counter() - started
        return Sample(
            seconds,
            clients * what.objects,
            clients * what.gigabytes,
            accepted if way.forwards else None,
        )

    try:
        send(warm_up, 1)
        return _with_costs(way, lambda: send(workload, clients))
    finally:
        way.clear()


def echo(way: WayUnderTest, *, count: int) -> Sample:
    """Time single C-ECHO round trips on an open association; the figure is their median."""

    def run() -> Sample:
        times = []
        with Client.open(way.entry[RAW], called=RAW, contexts=CONTEXTS) as client:
            requests = [echo_request(number % 65536) for number in range(count)]
            for message in requests:
                started = time.perf_counter()
                client.send(message)
                answer = client.read_pdu()
                times.append(time.perf_counter() - started)
                if answer.kind != 4:
                    raise RunFailed(f"C-ECHO through {way.title}: PDU type {answer.kind}")
            client.release()
        return Sample(statistics.median(times), count)

    return _with_costs(way, run)


def store_raw(client: Client, pdus: Iterable[bytes], what: str) -> None:
    """Send a C-STORE-RQ and wait for its response; `what` it is, if it fails.

    Raises:
        RunFailed: it wasn't taken.
    """
    for data in pdus:
        client.send(data)
    if client.receive_message().status != 0:
        raise RunFailed(what)


def huge(way: WayUnderTest, *, size: int, objects: int = 1) -> Sample:
    """Time C-STOREs of `size` bytes on one association, from a raw client to a raw target."""

    def run() -> Sample:
        with Client.open(
            way.entry[RAW], called=RAW, contexts=CONTEXTS, timeout=120, max_length=131072
        ) as client:
            started = time.perf_counter()
            for number in range(1, objects + 1):
                pdus = blank_object(number, size, client.peer_max_length)
                store_raw(client, pdus, f"C-STORE of {size} bytes through {way.title}")
            seconds = time.perf_counter() - started
            client.release()
        return Sample(seconds, objects, objects * size / 1e9)

    return _with_costs(way, run)


def get(way: WayUnderTest, *, size: int, objects: int) -> Sample:
    """Time a C-GET of objects of `size` bytes, which come on the same association, by a raw client from a raw target.

    Raises:
        RunFailed: not every object came whole, or the final response isn't success.
    """
    arrived = 0

    def count(fragment: bytes) -> None:
        nonlocal arrived
        arrived += len(fragment)

    def run() -> Sample:
        with Client.open(
            way.entry[RAW], called=RAW, contexts=GET_CONTEXTS, extra=GET_ROLE, timeout=120, max_length=131072
        ) as client:
            client.sink_for = lambda _: count
            started = time.perf_counter()
            client.send(get_request(7, objects=objects, size=size))
            while (message := client.receive_message()).field == Command.C_STORE:
                client.send_message(response(message))
            seconds = time.perf_counter() - started
            if message.status != 0 or arrived != objects * size:
                raise RunFailed(
                    f"C-GET through {way.title}: status {message.status:04X}, "
                    f"{arrived} of {objects * size} bytes"
                )
            client.release()
        return Sample(seconds, objects, objects * size / 1e9)

    return _with_costs(way, run)


def find(way: WayUnderTest, *, responses: int, count: int) -> Sample:
    """Time C-FIND operations with `responses` pending responses each; the figure is their median."""

    def run() -> Sample:
        times = []
        with Client.open(way.entry[RAW], called=RAW, contexts=CONTEXTS) as client:
            for _ in range(count + 1):
                message = find_request(7, responses)
                started = time.perf_counter()
                client.send(message)
                drain_responses(client, responses + 1)
                times.append(time.perf_counter() - started)
            client.release()
        # The target makes its responses when it is first asked.
        return Sample(statistics.median(times[1:]), responses * count)

    return _with_costs(way, run)


def drain_responses(client: Client, messages: int) -> None:
    """Read until `messages` responses have arrived, at the least cost for the client."""
    sock = client.sock
    buffer = bytearray()
    seen = 0
    while True:
        offset = 0
        while len(buffer) - offset >= 6:
            end = offset + 6 + int.from_bytes(buffer[offset + 2 : offset + 6], "big")
            if end > len(buffer):
                break
            if buffer[offset] != 4:
                raise RunFailed(f"C-FIND: PDU type {buffer[offset]}")
            inner = offset + 6
            while inner < end:
                # A command's last fragment: one response.
                seen += buffer[inner + 5] == 3
                inner += 4 + int.from_bytes(buffer[inner : inner + 4], "big")
            offset = end
        del buffer[:offset]
        if seen >= messages:
            return
        more = sock.recv(262144)
        if not more:
            raise RunFailed("C-FIND: the connection closed")
        buffer += more


def set_up(way: WayUnderTest, *, count: int) -> Sample:
    """Time associations from connect to A-ASSOCIATE-AC; the figure is their median."""

    def run() -> Sample:
        times = []
        for _ in range(count):
            started = time.perf_counter()
            with Client.open(way.entry[RAW], called=RAW, contexts=CONTEXTS) as client:
                times.append(time.perf_counter() - started)
                client.release()
        return Sample(statistics.median(times), count)

    return _with_costs(way, run)
