"""What the demo did, one line for each operation, and how it is shown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from dimse_mesh.client import AssociationError

MOST_SHOWN = 20
"""Failures."""


@dataclass(slots=True)
class Line:
    """What came of an operation."""

    operation: str
    count: int = 0
    size: int | None = None
    """Bytes of data sets."""
    seconds: float = 0.0
    verdict: str = ""
    """What is said when nothing has failed."""
    failures: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """Everything that the demo did, in order."""

    lines: list[Line] = field(default_factory=list)

    @contextmanager
    def operation(self, name: str) -> Iterator[Line]:
        """Time an operation; a lost association or a peer that is silent has failed."""
        line = Line(name)
        self.lines.append(line)
        began = time.perf_counter()
        try:
            yield line
        except AssociationError as error:
            line.failures.append(str(error))
        except TimeoutError:
            line.failures.append("nothing came in time")
        line.seconds = time.perf_counter() - began

    @property
    def failures(self) -> list[str]:
        """Everything that went wrong."""
        return [f"{line.operation}: {failure}" for line in self.lines for failure in line.failures]


def show(console: Console, report: Report) -> int:
    """Print the table and what failed; return the exit code."""
    table = Table(box=None, pad_edge=False)
    table.add_column("operation", no_wrap=True)
    for title in ("count", "bytes", "time"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for line in report.lines:
        verdict = "[red]FAILED" if line.failures else f"[green]{line.verdict}"
        size = "" if line.size is None else decimal(line.size)
        table.add_row(line.operation, str(line.count), size, f"{line.seconds * 1e3:.0f} ms", verdict)
    console.print(table)
    failures = report.failures
    for failure in failures[:MOST_SHOWN]:
        console.print(f"failed: {failure}", style="red", highlight=False, soft_wrap=True, markup=False)
    if len(failures) > MOST_SHOWN:
        console.print(f"... and {len(failures) - MOST_SHOWN} more")
    console.print("[red]demo failed" if failures else "[green]all is well")
    return 1 if failures else 0
