"""The lines of the README that say what the mesh costs, from what was measured."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Mapping, Sequence

from tests.bench.report import Row, duration

NEEDED: Mapping[str, Sequence[str]] = {
    "small-1": ("relay", "mesh", "mesh-hosted"),
    "ct-1": ("relay", "mesh", "mesh-hosted"),
    "big-1": ("relay", "mesh"),
    "echo": ("mesh",),
    "setup": ("relay", "mesh"),
    "small-stock": ("direct", "mesh"),
    "ct-stock": ("direct", "mesh"),
}
"""Rows, and their ways, without which nothing can be said."""


def summary(rows: Sequence[Row]) -> str | None:
    """Return the lines, as a list in Markdown; None: not all that they speak of was measured."""
    by_key = {row.cell.key: row for row in rows}
    for key, needed in NEEDED.items():
        if key not in by_key or not all(by_key[key].seconds(way) for way in needed):
            return None
    small, ct, big, echo, opening = (by_key[key] for key in ("small-1", "ct-1", "big-1", "echo", "setup"))
    lines = [
        f"- an 8 KB object takes {_times(small)} times as long, and {_milliseconds(small)} ms of CPU over all "
        f"processes; with the handlers in the front-end's process {_times(small, 'mesh-hosted')} times, and "
        f"{_milliseconds(small, 'mesh-hosted')} ms;",
        f"- a CT slice takes {_times(ct)} times as long, {_seconds(ct)} CPU-seconds a GB, or "
        f"{_times(ct, 'mesh-hosted')} times and {_seconds(ct, 'mesh-hosted')}; a 200 MB object {_times(big)} times, "
        f"{_seconds(big)} CPU-seconds a GB;",
        f"- a C-ECHO takes {duration(statistics.median(echo.seconds('mesh')))}; opening an association "
        f"{duration(statistics.median(opening.seconds('mesh')))}, {_times(opening)} times the relays' time;",
        "- stock DCMTK peers (Nagle's algorithm on) store "
        f"{1 / statistics.median(by_key['small-stock'].ratios('mesh', 'direct')):.0f} times faster through the mesh "
        f"than without it, CT slices {1 / statistics.median(by_key['ct-stock'].ratios('mesh', 'direct')):.0f} times.",
    ]
    return "\n".join(
        textwrap.fill(line, 118, subsequent_indent="  ", break_on_hyphens=False) for line in lines
    )


def _times(row: Row, way: str = "mesh") -> str:
    return f"{statistics.median(row.ratios(way, 'relay')):.1f}"


def _milliseconds(row: Row, way: str = "mesh") -> str:
    return f"{(row.cost(way) or 0) / 1000:.2f}"


def _seconds(row: Row, way: str = "mesh") -> str:
    return f"{row.cost(way) or 0:.1f}"
