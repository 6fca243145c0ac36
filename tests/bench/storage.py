"""What places cost: the same objects, into a folder, into a bucket, and to DCMTK's storescp; and one object of 4 GB.

    python -m tests.bench.storage [--rounds N] [--gigabytes N]

All lie on one disk. A folder is flushed to disk before the client is answered; storescp and the S3 server (versitygw)
flush nothing. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import in_one_line, machine
from tests.durable.site import CONTEXTS
from tests.storage.mesh import Stores, stores
from tests.storage.s3 import S3Server
from tests.support import dcmtk
from tests.support.files import DicomFile, enhanced_ct, synthetic, write_file
from tests.support.process import reset_peak, resident_bytes
from tests.support.scripted import Client
from tests.support.wire import p_data_in_pieces, store_rq

GIGABYTE = 1_000_000_000
PIECE = 128 * 1024 - 6
WORKLOADS = {
    "1,000 objects of 8 KB": (1000, 8_000),
    "400 CT slices of 512 KB": (400, 512 * 1024),
    "3 objects of 200 MB": (3, 200_000_000),
}
DIRECT, THROUGH, FOLDER, BUCKET = "storescp", "storescp, by the mesh", "folder", "bucket"
TITLES = {THROUGH: "SCP", FOLDER: "FOLDER", BUCKET: "BUCKET"}


@dataclass(frozen=True, slots=True)
class Ways:
    """Where objects can be sent, and what lies there."""

    running: Stores
    scp_port: int
    folders: tuple[Path, ...]

    def port(self, way: str) -> int:
        """Return where a client associates for a way."""
        return self.scp_port if way == DIRECT else self.running.entry

    def clear(self) -> None:
        """Remove what has been stored."""
        for folder in self.folders:
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def seconds_for(ways: Ways, way: str, files: list[Path]) -> float:
    """Return how long storescu takes to store files on one association."""
    began = time.monotonic()
    done = dcmtk.storescu(
        ways.port(way), *files, called=TITLES.get(way, "SCP"), more=["-R"], env=dcmtk.NO_DELAY, timeout=600
    )
    took = time.monotonic() - began
    if done.code:
        raise RuntimeError(f"{way}: {done.output[-500:]}")
    return took


def compare(ways: Ways, directory: Path, rounds: int) -> None:
    """Print a table: megabytes per second, median and range."""
    print(f"\n| objects | {' | '.join((DIRECT, *TITLES))} |\n|---|{'---|' * (1 + len(TITLES))}")
    for name, (count, size) in WORKLOADS.items():
        folder = directory / "objects"
        folder.mkdir()
        files = [
            write_file(folder / f"{number}.dcm", _object(number, size)) for number in range(1, count + 1)
        ]
        total = sum(file.stat().st_size for file in files)
        cells = []
        for way in (DIRECT, *TITLES):
            rates = []
            for _ in range(rounds):
                rates.append(total / 1e6 / seconds_for(ways, way, files))
                ways.clear()
            rates.sort()
            cells.append(f"{statistics.median(rates):.3g} ({rates[0]:.3g}-{rates[-1]:.3g})")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
        shutil.rmtree(folder)


def _object(number: int, size: int) -> DicomFile:
    return enhanced_ct(number, size) if size > 10_000_000 else synthetic(number, size)


def pieces(length: int) -> Iterator[bytes]:
    """Yield a data set whose pixel data has `length` bytes, which never exists as a whole."""
    small = synthetic(1, 1024)
    header = small.data[: small.data.index(struct.pack("<HH", 0x7FE0, 0x0010))]
    yield header + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, length)
    block = bytes(range(256)) * (PIECE // 256 + 1)
    sent = 0
    while sent < length:
        count = min(PIECE, length - sent)
        yield struct.pack(">Q", sent) + block[8:count]
        sent += count


def large(ways: Ways, gigabytes: float) -> None:
    """Print what one large object costs in time and memory."""
    length = int(gigabytes * GIGABYTE) & ~1
    print(f"\n| one object of {gigabytes:g} GB | MB/s | memory: executor | front-end |\n|---|---|---|---|")
    mesh = ways.running.mesh
    for way in (THROUGH, FOLDER, BUCKET):
        pids = mesh.pids()
        measured = pids["cloud/scu"], pids["hospital/association"]
        for pid in measured:
            reset_peak(pid)
        began = time.monotonic()
        with Client.open(
            ways.port(way), called=TITLES[way], calling="CT1", contexts=CONTEXTS, timeout=600
        ) as client:
            for data in p_data_in_pieces(store_rq(1, synthetic(1, 1024).sop_instance, b""), pieces(length)):
                client.send(data)
            status = client.receive_message().status
            took = time.monotonic() - began
            client.release()
        peaks = [f"{resident_bytes(pid, peak=True) >> 20} MiB" for pid in measured]
        stored = max(
            (file.stat().st_size for folder in ways.folders for file in folder.rglob("*")), default=0
        )
        if status or stored < length:
            raise RuntimeError(f"{way}: status {status:04X}H, {stored} bytes are there")
        print(f"| {way} | {length / 1e6 / took:.0f} | {' | '.join(peaks)} |", flush=True)
        ways.clear()


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.storage", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gigabytes", type=float, default=4.0, help="size of the large object; 0: none")
    options = parser.parse_args()
    print(in_one_line(machine()))
    with (
        tempfile.TemporaryDirectory(prefix="dimse-mesh-bench-") as name,
        S3Server(Path(name) / "s3", Path(name) / "s3.log") as server,
    ):
        directory = Path(name)
        scp, port = dcmtk.storescp(directory / "scp", ae_title="SCP", env=dcmtk.NO_DELAY, level="-q")
        places = {"FOLDER": {"url": f"file://{directory}/folder"}, "BUCKET": server.settings(timeout=30.0)}
        remote = {"ae_title": "SCP", "host": "127.0.0.1", "port": port}
        with scp, stores(directory / "mesh", places, remote_aes=[remote]) as running:
            (directory / "folder").mkdir(exist_ok=True)
            ways = Ways(running, port, (directory / "scp", directory / "folder", server.bucket))
            compare(ways, directory, options.rounds)
            if options.gigabytes:
                large(ways, options.gigabytes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
