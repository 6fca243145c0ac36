"""Compare states of the code with each other: meshes side by side, measured in turn, CPU and time against the first.

    python -m tests.bench.pairs small-1,find before=../base after=. after-again=.
    python -m tests.bench.pairs small-1 --rounds 20 untraced=.,ratio=0 traced=.

A state is a name, a folder (another checkout, or one that holds `dimse_mesh`), and options: `hosted`, `encrypted`,
`jetstream` (nats-server has it, though nothing is durable), `ratio=` of the traces that are sampled (0.1). All run with
the configuration, nats-server and Python of this checkout. The same folder given twice shows the noise: no difference
that is smaller is one.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.bench import plan, ways
from tests.bench.measure import RunFailed
from tests.bench.plan import Cell
from tests.bench.report import Row, duration, quartiles
from tests.bench.ways import Targets, WayUnderTest


@dataclass(frozen=True, slots=True)
class Code:
    """One of the states that are compared."""

    name: str
    folder: Path
    hosted: bool = False
    encrypted: bool = False
    jetstream: bool = False
    ratio: float = 0.1

    @classmethod
    def of(cls, text: str) -> Self:
        """Read NAME=FOLDER[,OPTION...].

        Raises:
            ValueError: it is spelled otherwise.
        """
        name, given, rest = text.partition("=")
        folder, *options = rest.split(",")
        if not (name and given and folder):
            raise ValueError(f"not NAME=FOLDER[,OPTION...]: {text}")
        hosted = encrypted = jetstream = False
        ratio = 0.1
        for option in options:
            match option.partition("="):
                case ("hosted", "", ""):
                    hosted = True
                case ("encrypted", "", ""):
                    encrypted = True
                case ("jetstream", "", ""):
                    jetstream = True
                case ("ratio", "=", share):
                    ratio = float(share)
                case _:
                    raise ValueError(f"no such option: {option}")
        return cls(name, Path(folder), hosted, encrypted, jetstream, ratio)


def start(code: Code, stack: ExitStack, targets: Targets, directory: Path, collector: int) -> WayUnderTest:
    """Start a mesh of this code."""
    return ways.mesh_live(
        stack,
        targets,
        directory,
        name=code.name,
        title=code.name,
        ratio=code.ratio,
        collector=collector if code.ratio else None,
        hosted=code.hosted,
        encrypted=code.encrypted,
        jetstream=code.jetstream,
        code=code.folder,
    )


def measure(cell: Cell, meshes: list[WayUnderTest], rounds: int) -> Row:
    """Measure all meshes, round after round, each second round the other way round."""
    row = Row(cell)
    for number in range(rounds):
        for mesh in meshes if number % 2 == 0 else meshes[::-1]:
            try:
                sample = cell.run(mesh)
            except (RunFailed, AssertionError, OSError) as error:
                print(f"{cell.key} {mesh.name}: {error}", file=sys.stderr)
                row.results.setdefault(mesh.name, []).append(None)
                continue
            row.results.setdefault(mesh.name, []).append(sample)
    return row


def report(row: Row, names: list[str]) -> str:
    """Return the lines of a row: least and median CPU, least time, and both against the first state."""
    scale = 1.0 if row.per_gb else 1e6
    lines = []
    for name in names:
        samples = [sample for sample in row.results[name] if sample is not None]
        if not samples:
            lines.append(f"| {row.cell.key} | {name} | failed | | | | |")
            continue
        costs = [
            sum(one.cpu.values()) * scale / (one.gigabytes if row.per_gb else one.operations)
            for one in samples
        ]
        digits, unit = (2, "s/GB") if row.per_gb else (1, "us/op")
        cells = [
            row.cell.key,
            name,
            f"{min(costs):.{digits}f} {unit}",
            f"{statistics.median(costs):.{digits}f} {unit}",
            quartiles(row.cpu_ratios(name, names[0]) or [1.0]),
            duration(min(row.seconds(name))),
            quartiles(row.ratios(name, names[0]) or [1.0]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", help="rows of the bench, by the start of their key, separated by commas")
    parser.add_argument("codes", nargs="+", type=Code.of, metavar="NAME=FOLDER[,OPTION...]")
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    # So that everything started is stopped when `timeout` ends it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dimse-mesh-pairs-")))
        targets = Targets.start(stack, directory)
        cells = plan.full_plan(targets, directory / "files", options.rows.split(","))
        if not cells:
            sys.exit(f"no row starts with any of: {options.rows}")
        collector = ways.span_collector(stack, directory)
        meshes = [start(code, stack, targets, directory, collector) for code in options.codes]
        print(
            "| row | state | CPU, least | median | to the first (quartiles) | time, least | to the first |\n"
            "|---|---|--:|--:|--:|--:|--:|"
        )
        for cell in cells:
            row = measure(cell, meshes, options.rounds)
            print(report(row, [mesh.name for mesh in meshes]), flush=True)


if __name__ == "__main__":
    main()
