"""What compression of a leaf link brings, and costs, by kind of pixel data, over a line with a long round trip.

    python -m tests.bench.compression --rounds 2

Data sets of pydicom's own files, one behind the other and again from the start up to 64 MB, are stored as one object,
as a multi-frame one would be, from a hospital to a cloud. Two nats-servers with a leaf link stand between them, once
for each way to compress. `--publish` puts the table into docs/performance.md.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.data import get_testdata_file

from tests.bench.durable.site import spread
from tests.bench.long_line import FarApart, far_apart
from tests.bench.measure import store_raw
from tests.bench.publish import Tee, marks, publish_section
from tests.bench.raw_peer import CONTEXTS, STORE
from tests.bench.report import in_one_line, machine
from tests.bench.scale import row
from tests.bench.ways import RAW
from tests.support.files import take_apart
from tests.support.ports import reserve_port
from tests.support.process import Child, cpu_seconds
from tests.support.scripted import Client
from tests.support.wire import p_data_in_pieces, store_rq

COMPRESSION = marks("python -m tests.bench.compression")
SIZE = 64_000_000
"""Bytes of an object."""
KINDS = {
    "CT, uncompressed": ("693_UNCR.dcm", "eCT_Supplemental.dcm"),
    "MR, uncompressed": ("MR2_UNCR.dcm", "MR-SIEMENS-DICOM-WithOverlays.dcm"),
    "CR, uncompressed": ("RG1_UNCR.dcm", "RG3_UNCR.dcm"),
    "US, uncompressed": ("US1_UNCR.dcm", "OBXXXX1A_2frame.dcm"),
    "US multi-frame, JPEG": ("color3d_jpeg_baseline.dcm",),
    "CR and MR, JPEG 2000 lossless": ("RG1_J2KR.dcm", "RG3_J2KR.dcm", "MR2_J2KR.dcm"),
}
"""Files by kind. S2 looks for repetitions within blocks of 1 MB: those of a kind must be longer together."""
MODES = ("off", "s2_fast", "s2_better", "s2_best")
"""How a leaf link may compress, as nats-server spells it."""


@dataclass(slots=True)
class Figures:
    """What was measured of one kind of pixel data over one leaf link."""

    carried: list[float] = field(default_factory=list)
    """Bytes on the line for a byte of the data set."""
    cpu: list[float] = field(default_factory=list)
    """Of both nats-servers together, seconds for a GB of the data set."""
    seconds: list[float] = field(default_factory=list)


def pixels(names: Sequence[str], size: int = SIZE) -> bytes:
    """Return the data sets of these files, one behind the other and again from the start, cut to `size` bytes."""
    data_sets = [take_apart(Path(str(get_testdata_file(name)))).data for name in names]
    whole = b"".join(data_sets)
    return (whole * (size // len(whole) + 1))[:size]


def store(port: int, data: bytes) -> float:
    """Store `data` as one object; return the seconds. Nobody on the way reads it, so its context doesn't matter.

    Raises:
        RunFailed: it wasn't taken.
    """
    with Client.open(port, called=RAW, contexts=CONTEXTS, timeout=120) as client:
        view, length = memoryview(data), client.peer_max_length - 6
        pieces = (view[start : start + length] for start in range(0, len(view), length))
        started = time.perf_counter()
        pdus = p_data_in_pieces(store_rq(1, "1.2.3", b"", context_id=STORE), pieces)
        store_raw(client, pdus, f"C-STORE of {len(data)} bytes over a leaf link")
        seconds = time.perf_counter() - started
        client.release()
    return seconds


def measure(site: FarApart, data: bytes, figures: Figures) -> None:
    """Store `data` once and add what it took."""
    port = site.mesh.listeners["hospital"]
    pids = [server.pid for server in site.servers]
    carried, cpu = site.carried(), sum(map(cpu_seconds, pids))
    figures.seconds.append(store(port, data))
    figures.cpu.append((sum(map(cpu_seconds, pids)) - cpu) / len(data) * 1e9)
    figures.carried.append((site.carried() - carried) / len(data))


def compare(directory: Path, rtt: int, rounds: int) -> None:
    """Store every kind over every leaf link, in turn, and print the table."""
    results = {(kind, mode): Figures() for kind, mode in itertools.product(KINDS, MODES)}
    with ExitStack() as stack:
        target = reserve_port()
        raw = Child([sys.executable, "-m", "tests.bench.raw_peer", str(target)], log=directory / "raw.log")
        stack.enter_context(raw).wait_for_port(target)
        sites = {}
        for mode in MODES:
            (directory / mode).mkdir()
            apart = far_apart(directory / mode, target, rtt / 2000, compression=mode)
            sites[mode] = stack.enter_context(apart)
        for kind, names in KINDS.items():
            data = pixels(names)
            for number, (mode, site) in itertools.product(range(rounds + 1), sites.items()):
                # The first time is to warm up.
                measure(site, data, results[kind, mode] if number else Figures())
    row("pixel data", "compression", "bytes on the line, of one", "CPU of both nats-servers", f"{rtt} ms")
    row("---", "---", "--:", "--:", "--:")
    for (kind, mode), figures in results.items():
        carried = f"{statistics.median(figures.carried):.2f}"
        row(kind, mode, carried, spread(figures.cpu, " s/GB"), spread(figures.seconds, " s"))


def main() -> int:
    """Run the bench. It has no limits: what compression brings depends on the line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.compression", description=__doc__)
    parser.add_argument("--rtt", type=int, default=80, help="round trip, milliseconds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--publish", action="store_true", help="write docs/performance.md")
    options = parser.parse_args()
    with redirect_stdout(Tee()) as printed:
        print(in_one_line(machine()))
        command = " ".join(["python -m tests.bench.compression", *sys.argv[1:]])
        print(f"\n`{command}`, {options.rounds} rounds of {SIZE // 10**6} MB: median (range)\n")
        with tempfile.TemporaryDirectory(prefix="dimse-mesh-compression-") as directory:
            compare(Path(directory), options.rtt, options.rounds)
    if options.publish:
        publish_section(printed.getvalue(), COMPRESSION)
    return 0


if __name__ == "__main__":
    sys.exit(main())
