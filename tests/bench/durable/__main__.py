"""What durable delivery costs, beside what one would use instead.

    python -m tests.bench.durable                            every part
    python -m tests.bench.durable --only outage,line --rounds 3

outage   ingest while the destination is up, and while it is down; then it comes, and gets everything
orthanc  acceptance and delivery beside Orthanc's auto-routing
live     live traffic alone, and beside another client: live, durable, or of Orthanc
line     the same over a leaf link with a round trip of 80 ms, beside a live and a direct association over it
fan-out  ingest on a route to three destinations, beside one to a single destination
depth    what a queue of up to --objects costs: commands, delivery, memory, start

Prints tables, and a verdict for each figure that issue 13 names.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench.durable.beside_live import live
from tests.bench.durable.beside_orthanc import orthanc
from tests.bench.durable.depth import depth
from tests.bench.durable.fan_out import fan_out
from tests.bench.durable.line import line
from tests.bench.durable.outage import outage
from tests.bench.durable.site import Bench, Verdicts
from tests.bench.report import machine

PARTS: dict[str, Callable[[Bench], None]] = {
    "outage": outage,
    "orthanc": orthanc,
    "live": live,
    "line": line,
    "fan-out": fan_out,
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
