"""What durable delivery costs, beside what one would use instead.

    python -m tests.bench.durable                            every part
    python -m tests.bench.durable --only outage,line --rounds 3

outage   ingest while the destination is up, and while it is down; then it comes, and gets everything
orthanc  acceptance and delivery beside Orthanc's auto-routing
live     live traffic alone, and beside another client: live, durable, or of Orthanc
line     the same over a leaf link with a round trip of 80 ms, beside a live and a direct association over it
layout   a CT in one message of its spool, and in two
fan-out  ingest on a route to three destinations, beside one to a single destination
depth    what a queue of up to --objects costs: commands, delivery, memory, start

Prints tables, and a verdict for each figure that must hold; `--publish` puts them into docs/performance.md.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from tests.bench.durable.beside_live import live
from tests.bench.durable.beside_orthanc import orthanc
from tests.bench.durable.depth import depth
from tests.bench.durable.fan_out import fan_out
from tests.bench.durable.layout import layout
from tests.bench.durable.line import line
from tests.bench.durable.outage import outage
from tests.bench.durable.site import Bench, Verdicts
from tests.bench.publish import Tee, marks, publish_section
from tests.bench.report import in_one_line, machine

DURABLE = marks("make bench-durable")
PARTS: dict[str, Callable[[Bench], None]] = {
    "outage": outage,
    "orthanc": orthanc,
    "live": live,
    "line": line,
    "layout": layout,
    "fan-out": fan_out,
    "depth": depth,
}


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; None: that of this process."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.durable", description=__doc__)
    parser.add_argument("--only", default="", help="parts, separated by commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--objects", type=int, default=100_000, help="depth of the deepest queue")
    parser.add_argument("--publish", action="store_true", help="write docs/performance.md")
    options = parser.parse_args(arguments)
    if options.publish and options.only:
        parser.error("--publish replaces all tables: leave out --only")
    return options


def main() -> int:
    """Run the parts; return 1 if a figure isn't what it must be."""
    options = options_of(None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    verdicts = Verdicts()
    with redirect_stdout(Tee()) as printed:
        print(in_one_line(machine()))
        command = " ".join(["python -m tests.bench.durable", *sys.argv[1:]])
        print(f"\n`{command}`, {options.rounds} rounds: median (range)")
        for name in options.only.split(",") if options.only else PARTS:
            with tempfile.TemporaryDirectory(prefix="dimse-mesh-bench-") as directory:
                PARTS[name](Bench(Path(directory), options.rounds, options.objects, verdicts))
            verdicts.show()
    if options.publish:
        publish_section(printed.getvalue(), DURABLE)
    return int(verdicts.broken > 0)


if __name__ == "__main__":
    sys.exit(main())
