"""Put what the bench printed into docs/performance.md, docs/bench.svg and the README."""

from __future__ import annotations

import io
import sys
import textwrap
from pathlib import Path

PAGE = Path("docs/performance.md")
CHART = Path("docs/bench.svg")
README = Path("README.md")
WIDTH = 118


class Tee(io.StringIO):
    """Keeps what is printed, and prints it on."""

    def write(self, text: str) -> int:
        sys.__stdout__.write(text)  # type: ignore[union-attr] # there is one: nobody runs this without
        sys.__stdout__.flush()  # type: ignore[union-attr]
        return super().write(text)


def marks(command: str) -> tuple[str, str]:
    """Return what stands before, and behind, what a command has printed."""
    return f"<!-- printed by {command}: begin -->", f"<!-- printed by {command}: end -->"


BEGIN, END = BENCH = marks("make bench")


def page_with(page: str, printed: str, between: tuple[str, str] = BENCH) -> str:
    """Return `page` with `printed` between two marks.

    Raises:
        ValueError: a mark is missing.
    """
    begin, end = between
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"the page lacks the mark {begin} or {end}")
    return f"{before}{begin}\n\n{_as_markdown(printed)}\n\n{end}{after}"


def publish_section(printed: str, between: tuple[str, str] = BENCH) -> None:
    """Write `printed` between two marks of the page."""
    PAGE.write_text(page_with(PAGE.read_text(), printed, between))


def publish(printed: str, chart: str, lines: str | None) -> None:
    """Write the page and the chart, and the README's `lines` if there are any."""
    publish_section(printed)
    CHART.write_text(chart)
    if lines is not None:
        README.write_text(page_with(README.read_text(), lines))


def _as_markdown(printed: str) -> str:
    """Keep tables and lists, indent the verdicts so that they stay lines, wrap the rest."""
    return "\n\n".join(_block(block) for block in printed.strip().split("\n\n"))


def _block(block: str) -> str:
    if block.startswith(("|", "- ")):
        return block
    if block.startswith(("ok ", "BROKEN ")):
        return textwrap.indent(block, "    ")
    return textwrap.fill(block, WIDTH, break_long_words=False, break_on_hyphens=False)
