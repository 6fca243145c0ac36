"""The bench as a picture: bars on a logarithmic scale, written as plain SVG."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from html import escape

from tests.bench.report import Row, duration

COLOURS = {
    "direct": "#8c959f",
    "relay": "#57606a",
    "mesh": "#0969da",
    "mesh-hosted": "#54aeff",
    "pynetdicom": "#bf8700",
    "orthanc": "#8250df",
}
WIDTH, LEFT, RIGHT, BAR, GAP, GROUP, LINE, MARGIN = 860, 250, 90, 15, 3, 16, 18, 8


def svg(rows: Sequence[Row], titles: Mapping[str, str]) -> str:
    """Return a chart of the median times of each row, relative to two socat relays (or direct, without them)."""
    groups = []
    for row in rows:
        base_way = "relay" if row.seconds("relay") else "direct"
        base = row.seconds(base_way)
        if not base:
            continue
        floor = statistics.median(base)
        bars = [
            (way, statistics.median(row.seconds(way)), statistics.median(row.seconds(way)) / floor)
            for way in row.results
            if way in COLOURS and row.seconds(way)
        ]
        groups.append((row.cell.title, bars))
    ratios = [ratio for _, bars in groups for _, _, ratio in bars] or [1.0]
    low = math.floor(math.log2(min(0.5, *ratios)))
    high = math.ceil(math.log2(max(2.0, *ratios)))

    def x(ratio: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log2(ratio) - low) / (high - low)

    drawn = {way for _, bars in groups for way, _, _ in bars}
    legend, legend_height = _legend(
        [(titles[way], colour) for way, colour in COLOURS.items() if way in drawn]
    )
    top = 38.0 + legend_height
    height = round(top) + 8 + sum(GROUP + len(bars) * (BAR + GAP) for _, bars in groups) + 30
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'font-size="12" role="img" aria-label="Time of each way relative to two socat relays in series">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20" font-weight="bold">time relative to two socat relays (less is better)</text>',
    ]
    out += legend
    y = top
    for power in range(low, high + 1, max(1, (high - low) // 8)):
        label = f"{2**power:g}x"
        out.append(
            f'<line x1="{x(2**power):.1f}" x2="{x(2**power):.1f}" y1="{y}" y2="{height - 24}" stroke="#d0d7de"/>'
        )
        out.append(
            f'<text x="{x(2**power):.1f}" y="{height - 8}" text-anchor="middle" fill="#57606a">{label}</text>'
        )
    for title, bars in groups:
        y += GROUP
        middle = y + len(bars) * (BAR + GAP) / 2 + 3
        out.append(f'<text x="{LEFT - MARGIN}" y="{middle:.1f}" text-anchor="end">{escape(title)}</text>')
        for way, seconds, ratio in bars:
            start, end = sorted((x(1.0), x(ratio)))
            width = max(2.0, end - start)
            out.append(
                f'<rect x="{start:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR}" fill="{COLOURS[way]}"/>'
            )
            out.append(
                f'<text x="{max(end, start + width) + 4:.1f}" y="{y + 12:.1f}">{duration(seconds)}</text>'
            )
            y += BAR + GAP
    out.append("</svg>")
    return "\n".join(out) + "\n"


def _legend(entries: Sequence[tuple[str, str]]) -> tuple[list[str], int]:
    """Return a square and a title for each title and colour, in as many lines as they need, and their height."""
    out = []
    x, y = MARGIN, 30
    for title, colour in entries:
        width = 24 + 7 * len(title)
        if x + width > WIDTH and x > MARGIN:
            x, y = MARGIN, y + LINE
        out.append(f'<rect x="{x}" y="{y}" width="10" height="10" fill="{colour}"/>')
        out.append(f'<text x="{x + 14}" y="{y + 9}">{escape(title)}</text>')
        x += width
    return out, y + LINE - 30
