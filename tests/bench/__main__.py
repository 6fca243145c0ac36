"""Measure the mesh against no proxy, two relays, and what else one would use.

python -m tests.bench                      every row, five interleaved rounds
python -m tests.bench --quick              under two minutes; fails above three times the limits
python -m tests.bench --only ct-1,echo --ways relay,mesh --rounds 3
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench import plan, ways
from tests.bench.chart import svg
from tests.bench.measure import RunFailed
from tests.bench.plan import Cell
from tests.bench.publish import publish
from tests.bench.report import (
    Row,
    as_json,
    cost_table,
    duration,
    in_one_line,
    judge,
    judge_length,
    machine,
    noise,
    table,
)
from tests.bench.summary import summary
from tests.bench.ways import Targets, WayUnderTest

QUICK_LENIENCY = 3.0
"""CI machines are shared, and may be slower: a quick run fails only at three times the limits."""


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line, by default that of this process."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rows against the double relay, then judge")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 5, quick 3)")
    parser.add_argument("--only", default="", help="rows, by the start of their key, separated by commas")
    parser.add_argument("--ways", default="", help="ways to measure, separated by commas")
    parser.add_argument("--output", type=Path, default=Path("build/bench"), help="where JSON and SVG go")
    parser.add_argument(
        "--publish",
        action="store_true",
        help="write docs/performance.md, docs/bench.svg and the README's lines",
    )
    parser.add_argument("--strict", action="store_true", help="fail above the limits as they stand")
    options = parser.parse_args(argv)
    if options.publish and not is_full(options):
        parser.error("--publish replaces the whole table: leave out --only, --ways and --quick")
    return options


def is_full(options: argparse.Namespace) -> bool:
    """Return whether every row and every way is measured."""
    return not (options.only or options.ways or options.quick)


def start_ways(
    wanted: Sequence[str], stack: ExitStack, targets: Targets, directory: Path
) -> list[WayUnderTest]:
    """Start every way that is wanted."""
    collector: int | None = None
    if {*plan.MESHES, "mesh-traced"} & set(wanted):
        collector = ways.span_collector(stack, directory)
    counted = targets.ports[ways.COUNTED]
    started = []
    for name in wanted:
        print(f"starting {name}", file=sys.stderr)
        match name:
            case "direct":
                started.append(ways.direct(targets))
            case "relay":
                started.append(ways.double_relay(stack, targets, directory))
            case "relay-8k":
                started.append(ways.double_relay(stack, targets, directory, buffer=8192))
            case "pynetdicom":
                started.append(ways.pynetdicom_relay(stack, targets, directory))
            case "orthanc":
                started.append(ways.orthanc_auto_routing(stack, counted, directory))
            case "orthanc-nodelay":
                started.append(ways.orthanc_auto_routing(stack, counted, directory, no_delay=True))
            case "mesh" | "mesh-again" | "mesh-hosted" | "mesh-untraced" | "mesh-traced" | plan.ENCRYPTED:
                title, ratio = {
                    "mesh": ("mesh, 10 % traced", 0.1),
                    "mesh-again": ("the same mesh once more", 0.1),
                    plan.ENCRYPTED: ("mesh, encrypted from zone to zone", 0.1),
                    "mesh-hosted": ("mesh, handlers in the front-end", 0.1),
                    "mesh-untraced": ("mesh, not traced", 0.0),
                    "mesh-traced": ("mesh, all traced", 1.0),
                }[name]
                started.append(
                    ways.mesh_live(
                        stack,
                        targets,
                        directory,
                        name=name,
                        title=title,
                        ratio=ratio,
                        collector=None if name == "mesh-untraced" else collector,
                        hosted=name == "mesh-hosted",
                        encrypted=name == plan.ENCRYPTED,
                    )
                )
            case _:
                sys.exit(f"no such way: {name}; there are: {', '.join(plan.EVERY)}")
    return started


def run_cell(cell: Cell, under_test: Sequence[WayUnderTest], rounds: int) -> Row:
    """Measure one row: every way in turn, round after round."""
    row = Row(cell)
    chosen = [way for way in under_test if way.name in {*cell.ways, plan.ENCRYPTED}]
    for number in range(rounds):
        for way in chosen:
            try:
                sample = cell.run(way)
            except (RunFailed, AssertionError, OSError) as error:
                print(f"{cell.key} {way.name}: {error}", file=sys.stderr)
                row.results.setdefault(way.name, []).append(None)
                continue
            row.results.setdefault(way.name, []).append(sample)
            print(f"{number + 1}/{rounds} {cell.key} {way.name}: {duration(sample.seconds)}", file=sys.stderr)
    return row


def main() -> int:
    """Run the bench and return the exit code: 1 when a limit is broken (with --quick or --strict)."""
    started = time.perf_counter()
    options = arguments()
    # So that everything started is stopped when `timeout` or CI ends the bench.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rounds = options.rounds or (3 if options.quick else 5)
    only = [key for key in options.only.split(",") if key]
    asked = [name for name in options.ways.split(",") if name]
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dimse-mesh-bench-")))
        targets = Targets.start(stack, directory)
        make_plan = plan.quick_plan if options.quick else plan.full_plan
        cells = make_plan(targets, directory / "files", only)
        if not cells:
            sys.exit(f"no row starts with any of: {options.only}")
        needed = [name for name in plan.EVERY if any(name in cell.ways for cell in cells)]
        wanted = [name for name in needed if not asked or name in asked]
        wanted += [plan.ENCRYPTED] * (plan.ENCRYPTED in asked)
        under_test = start_ways(wanted, stack, targets, directory)
        rows = [run_cell(cell, under_test, rounds) for cell in cells]
        titles = {way.name: way.title for way in under_test}
    lenient = options.quick and not options.strict
    verdicts = judge(rows, leniency=QUICK_LENIENCY if lenient else 1.0)
    if is_full(options):
        verdicts.append(judge_length(time.perf_counter() - started))
    command = "python -m tests.bench " + " ".join(sys.argv[1:])
    where = machine()
    parts = [
        in_one_line(where),
        f"`{command.strip()}`, {rounds} interleaved rounds; the mesh: live routes only, nats-server without JetStream",
        table(rows, titles),
        noise(rows),
        *(cost_table(rows, name) for name in titles if name in {"mesh", "mesh-hosted", plan.ENCRYPTED}),
        f"`ok` is up to {QUICK_LENIENCY:g} times the limits that stand here:" if lenient else "",
        "\n".join(
            f"{'ok    ' if v.passed else 'BROKEN'} {'aim reached' if v.aimed else '           '} {v.row}: {v.text}"
            for v in verdicts
        ),
    ]
    text = "\n\n".join(part for part in parts if part)
    print(text)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "bench.md").write_text(text + "\n")
    report = as_json(rows, verdicts, command=command, rounds=rounds, where=where)
    (options.output / "bench.json").write_text(json.dumps(report, indent=1) + "\n")
    chart = svg(rows, titles)
    (options.output / "bench.svg").write_text(chart)
    if options.publish:
        publish(text, chart, summary(rows))
    broken = any(not verdict.passed for verdict in verdicts)
    return int(broken and (options.quick or options.strict))


if __name__ == "__main__":
    sys.exit(main())
