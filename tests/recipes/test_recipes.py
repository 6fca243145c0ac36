"""Every recipe, by exactly the commands of its page, with real peers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import SAID
from tests.recipes.page import ROOT, blocks_of, matches, run_page

TOOLS = ("/usr/sbin/Orthanc", "/usr/bin/storescu", "/usr/bin/socat", "/usr/bin/curl")
RECIPES = sorted(page.stem for page in (ROOT / "docs" / "recipes").glob("*.md") if page.stem != "README")


def require_packages(requirements: Path, directory: Path) -> None:
    """Skip where the packages of a recipe can't be had: from no index, or not for this Python."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps"]
    wanted = ["--requirement", str(requirements), "--dest", str(directory / "packages")]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"highdicom can't be installed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")


@pytest.mark.parametrize("name", RECIPES)
def test_recipe(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    if name == "results":
        require_packages(ROOT / "examples" / name / "requirements.txt", tmp_path)
    took = run_page(tmp_path, name, example=name, tools=TOOLS)
    record_property(SAID, f"recipe {name}: from nothing to its result in {took:.1f} s")


@pytest.mark.parametrize("name", RECIPES)
def test_a_page_ends_with_what_to_do_when_it_fails(name: str) -> None:
    page = (ROOT / "docs" / "recipes" / f"{name}.md").read_text()
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert headings[-1] == "## When it doesn't work"


def test_what_is_printed_is_compared() -> None:
    (block,) = blocks_of("```sh\necho 40\n```\n\n```text\n40\n...\n```\n")
    assert block.prints is not None
    assert matches("40\n3 studies\n", block.prints)
    assert not matches("39\n", block.prints)
