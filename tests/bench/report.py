"""The table that the bench prints, and the same figures as JSON."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.bench.measure import Sample
from tests.bench.plan import Cell, Limit

NumberT = TypeVar("NumberT", int, float)

LONGEST_RUN = 25 * 60
"""Seconds that a full run may take."""

Results = dict[str, list[Sample | None]]
"""Way -> one sample for each round; None where it failed."""


@dataclass(slots=True)
class Row:
    """A cell and everything measured for it."""

    cell: Cell
    results: Results = field(default_factory=dict)

    def seconds(self, way: str) -> list[float]:
        """Return the figures of the rounds that succeeded."""
        return [sample.seconds for sample in self.results.get(way, ()) if sample is not None]

    def ratios(self, way: str, against: str) -> list[float]:
        """Return the ratio of each round in which both succeeded."""
        pairs = zip(self.results.get(way, ()), self.results.get(against, ()), strict=False)
        return [
            mine.seconds / other.seconds for mine, other in pairs if mine is not None and other is not None
        ]

    def cpu_ratios(self, way: str, against: str) -> list[float]:
        """Return the ratio of the CPU time of all processes, of each round in which both succeeded."""
        pairs = zip(self.results.get(way, ()), self.results.get(against, ()), strict=False)
        return [
            sum(mine.cpu.values()) / sum(other.cpu.values())
            for mine, other in pairs
            if mine is not None and other is not None and mine.cpu and other.cpu
        ]

    def cost(self, way: str) -> float | None:
        """Return the median CPU time of all processes: seconds per GB or microseconds per operation, as `per_gb`."""
        samples = [sample for sample in self.results.get(way, ()) if sample is not None and sample.cpu]
        if not samples:
            return None
        each = [
            sum(one.cpu.values()) / one.gigabytes
            if self.per_gb
            else sum(one.cpu.values()) / one.operations * 1e6
            for one in samples
        ]
        return statistics.median(each)

    @property
    def per_gb(self) -> bool:
        """Whether bytes count in this row, and not operations."""
        return any(
            sample is not None and sample.gigabytes > 0.05
            for samples in self.results.values()
            for sample in samples
        )

    def cpu(self, way: str) -> dict[str, float]:
        """Return the median CPU seconds of each process."""
        return self._by_process(way, lambda sample: sample.cpu, statistics.median)

    def resident(self, way: str) -> dict[str, int]:
        """Return the most resident memory of each process within one measurement."""
        return self._by_process(way, lambda sample: sample.resident, max)

    def grown(self, way: str) -> dict[str, int]:
        """Return by how much each process grew at the most within one measurement, in bytes."""
        return self._by_process(way, lambda sample: sample.grown, max)

    def _by_process(
        self,
        way: str,
        read: Callable[[Sample], Mapping[str, NumberT]],
        fold: Callable[[list[NumberT]], NumberT],
    ) -> dict[str, NumberT]:
        figures = [read(sample) for sample in self.results.get(way, ()) if sample is not None]
        return {name: fold([each[name] for each in figures if name in each]) for name in (figures or [{}])[0]}

    def sample(self, way: str) -> Sample | None:
        """Return any sample, for what is the same in all of them."""
        return next((sample for sample in self.results.get(way, ()) if sample is not None), None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A limit and what came of it."""

    row: str
    text: str
    passed: bool
    aimed: bool


def judge(rows: Sequence[Row], *, leniency: float = 1.0) -> list[Verdict]:
    """Hold every row against its limits, these made wider by `leniency`."""
    verdicts = []
    for row in rows:
        for limit in row.cell.limits:
            ratios = (row.cpu_ratios if limit.cpu else row.ratios)(limit.way, limit.against)
            if not ratios:
                if limit.way in row.results and limit.against in row.results:
                    text = f"{limit.way} against {limit.against}: not measured"
                    verdicts.append(Verdict(row.cell.title, text, passed=False, aimed=False))
                continue
            ratio = statistics.median(ratios)
            passed, aimed = ratio <= limit.must * leniency, ratio <= limit.aim
            verdicts.append(Verdict(row.cell.title, _spell(limit, ratio), passed, aimed))
        for cpu_limit in row.cell.cpu_limits:
            cost = row.cost(cpu_limit.way)
            if cost is not None:
                figure, unit = (f"{cost:.2f}", "s/GB") if row.per_gb else (f"{cost:.0f}", "us/op")
                text = f"{cpu_limit.way}: CPU {figure} {unit} (<= {cpu_limit.must:g}, aim {cpu_limit.aim:g})"
                passed, aimed = cost <= cpu_limit.must * leniency, cost <= cpu_limit.aim
                verdicts.append(Verdict(row.cell.title, text, passed, aimed))
        mesh = row.seconds("mesh")
        if row.cell.must_seconds is not None and mesh:
            median, must = statistics.median(mesh), row.cell.must_seconds
            text = f"mesh {median * 1000:.2f} ms (<= {must * 1000:.1f} ms)"
            verdicts.append(Verdict(row.cell.title, text, median <= must * leniency, median <= must))
        sample = row.sample("mesh")
        if row.cell.must_cpu is not None and sample is not None:
            cpu = row.cpu("mesh")
            for name in (name for name in cpu if name.endswith(("/association", "/scu"))):
                used = cpu[name] / sample.gigabytes
                text = f"{name} {used:.2f} CPU s/GB (<= {row.cell.must_cpu:g}, aim {row.cell.aim_cpu:g})"
                passed, aimed = used <= row.cell.must_cpu * leniency, used <= row.cell.aim_cpu
                verdicts.append(Verdict(row.cell.title, text, passed, aimed))
        if row.cell.must_growth is not None and sample is not None:
            name, grown = max(row.grown("mesh").items(), key=lambda item: item[1])
            size, must, aim = grown / 2**20, row.cell.must_growth, row.cell.aim_growth
            text = f"{name} grew by {size:.0f} MiB, the most of all (<= {must}, aim {aim})"
            verdicts.append(Verdict(row.cell.title, text, size <= must * leniency, size <= aim))
    return verdicts


def judge_length(seconds: float) -> Verdict:
    """Hold the length of a full run against its limit."""
    minutes, rest = divmod(round(seconds), 60)
    text = f"took {minutes} min {rest} s (at most {LONGEST_RUN // 60} min)"
    return Verdict("the whole bench", text, passed=seconds <= LONGEST_RUN, aimed=False)


def _spell(limit: Limit, ratio: float) -> str:
    if limit.wants_faster:
        return (
            f"{1 / ratio:.1f}x faster than {limit.against} "
            f"(>= {1 / limit.must:.0f}x, aim {1 / limit.aim:.0f}x)"
        )
    who = "" if limit.way == "mesh" else f"{limit.way}: "
    what = "CPU " if limit.cpu else ""
    return f"{who}{what}{ratio:.2f}x of {limit.against} (<= {limit.must:g}x, aim {limit.aim:g}x)"


def duration(seconds: float) -> str:
    """Return a time with three significant digits."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s"


def quartiles(ratios: Sequence[float]) -> str:
    """Return the median, and the quartiles if there are enough figures for them."""
    median = f"{statistics.median(ratios):.2f}"
    if len(ratios) < 3:
        return median
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return f"{median} ({low:.2f} - {high:.2f})"


def noise(rows: Sequence[Row]) -> str:
    """Return what the same mesh, started twice, differs from itself: the least that a difference has to be."""
    lines = ["| the same mesh twice: the second divided by the first | time | CPU |", "|---|--:|--:|"]
    for row in rows:
        seconds, cpu = row.ratios("mesh-again", "mesh"), row.cpu_ratios("mesh-again", "mesh")
        if seconds and cpu:
            lines.append(f"| {row.cell.title} | {quartiles(seconds)} | {quartiles(cpu)} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def table(rows: Sequence[Row], titles: Mapping[str, str]) -> str:
    """Return the result as a Markdown table."""
    lines = ["| workload | way | median | range | x two relays |", "|---|---|--:|--:|--:|"]
    for row in rows:
        label = row.cell.title
        for way in row.results:
            seconds = row.seconds(way)
            if not seconds:
                lines.append(f"| {label} | {titles[way]} | failed | | |")
                continue
            ratios = row.ratios(way, "relay")
            ratio = quartiles(ratios) if ratios else ""
            spread = f"{duration(min(seconds))} - {duration(max(seconds))}"
            accepted = [s.accepted for s in row.results[way] if s is not None and s.accepted is not None]
            note = f" (accepted after {duration(statistics.median(accepted))})" if accepted else ""
            median = duration(statistics.median(seconds))
            lines.append(f"| {label} | {titles[way]}{note} | {median} | {spread} | {ratio} |")
            label = ""
    return "\n".join(lines)


def cost_table(rows: Sequence[Row], way: str) -> str:
    """Return what each process of `way` used: CPU by gigabyte or operation, peak resident memory."""
    names = sorted({name for row in rows for name in row.cpu(way)})
    if not names:
        return ""
    lines = ["| CPU by process | " + " | ".join(names) + " | sum |", "|---|" + "--:|" * (len(names) + 1)]
    for row in rows:
        cpu, sample = row.cpu(way), row.sample(way)
        if sample is None:
            continue
        if row.per_gb:
            unit, scale = "s/GB", 1 / sample.gigabytes
        else:
            unit, scale = "us/op", 1e6 / sample.operations
        cells = [
            f"{cpu.get(name, 0) * scale:.2f}" if unit == "s/GB" else f"{cpu.get(name, 0) * scale:.0f}"
            for name in names
        ]
        total = sum(cpu.values()) * scale
        lines.append(
            f"| {row.cell.key}, {unit} | {' | '.join(cells)} | {total:.2f} |"
            if unit == "s/GB"
            else f"| {row.cell.key}, {unit} | {' | '.join(cells)} | {total:.0f} |"
        )
    peak: dict[str, int] = {}
    for row in rows:
        for name, size in row.resident(way).items():
            peak[name] = max(peak.get(name, 0), size)
    for row in rows:
        if row.cell.must_growth is not None:
            cells = [f"{row.grown(way).get(name, 0) / 2**20:.0f}" for name in names]
            lines.append(f"| {row.cell.key}, grown by MiB | {' | '.join(cells)} | |")
    total_mib = sum(peak.values()) >> 20
    cells = [str(peak.get(name, 0) >> 20) for name in names]
    lines.append(f"| peak resident, MiB | {' | '.join(cells)} | {total_mib} |")
    return "\n".join(lines)


def in_one_line(where: Mapping[str, str]) -> str:
    """Return the `machine` as the line that stands above the figures."""
    return "; ".join(f"{name}: {value}" for name, value in where.items())


def machine() -> dict[str, str]:
    """Describe where the figures come from."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "processor": f"{os.cpu_count()} cores, {model.group(1) if model else platform.machine()}",
        "speed now": f"a million additions in Python take {_additions() * 1000:.0f} ms",
        "idle states": _idle_states(),
        "memory": f"{int(memory.group(1)) >> 20} GiB" if memory else "unknown",
        "system": f"Linux {platform.release()}, Python {platform.python_version()} of {sys.base_prefix}",
        "DCMTK": _version(["/usr/bin/storescp", "--version"], r"v([\d.]+)"),
        "nats-server": _version(
            [str(Path(sys.executable).with_name("nats-server")), "--version"], r"v([\d.]+)"
        ),
        "socat": _version(["/usr/bin/socat", "-V"], r"version ([\d.]+)"),
    }


def _idle_states() -> str:
    """Return which idle states the kernel uses: from a deep one a process wakes up late, and cold."""
    names = [
        path.read_text().strip()
        for path in sorted(Path("/sys/devices/system/cpu/cpu0/cpuidle").glob("*/name"))
    ]
    return ", ".join(names) or "not shown to this machine"


def _additions() -> float:
    """Return the seconds that a fixed piece of work takes: on a shared machine it tells how much of it is ours."""
    return min(timeit.repeat(lambda: sum(range(1_000_000)), number=1, repeat=20))


def _version(command: list[str], pattern: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return "not installed"
    found = re.search(pattern, done.stdout + done.stderr)
    return found.group(1) if found else "unknown"


def as_json(
    rows: Sequence[Row], verdicts: Sequence[Verdict], *, command: str, rounds: int, where: Mapping[str, str]
) -> dict[str, object]:
    """Return everything measured."""
    return {
        "command": command,
        "rounds": rounds,
        "machine": where,
        "rows": {
            row.cell.key: {
                "title": row.cell.title,
                "ways": {
                    way: {
                        "seconds": row.seconds(way),
                        "accepted": [s.accepted for s in samples if s is not None and s.accepted is not None],
                        "ratio_to_relay": row.ratios(way, "relay"),
                        "cpu_seconds": row.cpu(way),
                        "resident_bytes": row.resident(way),
                        "grown_bytes": row.grown(way),
                        "operations": next((s.operations for s in samples if s is not None), 0),
                        "gigabytes": next((s.gigabytes for s in samples if s is not None), 0),
                    }
                    for way, samples in row.results.items()
                },
            }
            for row in rows
        },
        "limits": [
            {"row": v.row, "text": v.text, "passed": v.passed, "aim_reached": v.aimed} for v in verdicts
        ],
    }
