"""Put what the bench printed into docs/performance.md and docs/bench.svg."""

from __future__ import annotations

import textwrap
from pathlib import Path

PAGE = Path("docs/performance.md")
CHART = Path("docs/bench.svg")
BEGIN, END = "<!-- printed by make bench: begin -->", "<!-- printed by make bench: end -->"
WIDTH = 118


def page_with(page: str, printed: str) -> str:
    """Return `page` with `printed` between its two marks.

    Raises:
        ValueError: a mark is missing.
    """
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{PAGE} lacks the mark {BEGIN} or {END}")
    return f"{before}{BEGIN}\n\n{_as_markdown(printed)}\n\n{END}{after}"


def publish(printed: str, chart: str) -> None:
    """Write the page and the chart."""
    PAGE.write_text(page_with(PAGE.read_text(), printed))
    CHART.write_text(chart)


def _as_markdown(printed: str) -> str:
    """Keep the tables, indent the verdicts so that they stay lines, wrap the rest."""
    return "\n\n".join(_block(block) for block in printed.strip().split("\n\n"))


def _block(block: str) -> str:
    if block.startswith("|"):
        return block
    if block.startswith(("ok ", "BROKEN ")):
        return textwrap.indent(block, "    ")
    return textwrap.fill(block, WIDTH, break_long_words=False, break_on_hyphens=False)
