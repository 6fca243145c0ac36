"""Every page of the repository: links lead somewhere, lines fit a screen."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

WIDTH = 120


def pages() -> list[Path]:
    """Return every Markdown page that git knows or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sorted(Path(line) for line in listed.splitlines() if Path(line).exists())


PAGES = pages()


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_lines_fit(page: Path) -> None:
    # A row of a table can't be broken in Markdown.
    lines = [line for line in page.read_text().splitlines() if not line.lstrip().startswith("|")]
    assert [line for line in lines if len(line) > WIDTH] == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        linked = page.parent / target if target else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), f"{target}#{anchor}"
