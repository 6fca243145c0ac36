"""A page of docs/recipes, its commands run exactly as they stand there.

Blocks marked `sh` are commands, all in one shell; a block marked `text` is what the block before it prints, with `...`
for what may be anything. Only the port numbers are changed, to ones that are free, in the page and in its files.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import reserve_port
from tests.support.process import Child, ChildFailed, require_tool

ROOT = Path(__file__).resolve().parents[2]
MARK = "@@ block "
_FENCE = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PORT = re.compile(r"(?<![\w.])1[0-9]{4}(?![\w.])")
_CONFIGURATION = {".yaml", ".json", ".conf", ".sh"}


@dataclass(frozen=True, slots=True)
class Block:
    """Commands, and what they print; None: the page doesn't say."""

    commands: str
    prints: str | None


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page in their order."""
    blocks: list[Block] = []
    for match in _FENCE.finditer(page):
        kind, text = match.groups()
        if kind == "sh":
            blocks.append(Block(text, None))
        else:
            blocks[-1] = Block(blocks[-1].commands, text)
    return blocks


def with_free_ports(text: str, ports: dict[str, str]) -> str:
    """Return `text` with each of its five-digit port numbers replaced; `ports` remembers by what."""

    def free(match: re.Match[str]) -> str:
        return ports.setdefault(match.group(), str(reserve_port()))

    return _PORT.sub(free, text)


def matches(printed: str, shown: str) -> bool:
    """Tell whether what was printed is what the page shows; `...` stands for anything, lines of it included."""
    pattern = ".*".join(re.escape(part) for part in shown.strip("\n").split("..."))
    return re.fullmatch(pattern, printed.strip("\n"), re.DOTALL) is not None


def checkout(directory: Path, example: str, ports: dict[str, str]) -> Path:
    """Make what a reader has: the examples with free ports, and the environment; return its folder."""
    directory.mkdir()
    (directory / ".venv").symlink_to(ROOT / ".venv")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "examples"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in map(Path, listed):
        shared = name.parent.name == "examples"
        if not (ROOT / name).exists() or not (shared or name.parts[1] == example):
            continue
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
        if name.suffix in _CONFIGURATION:
            target.write_text(with_free_ports(target.read_text(), ports))
    return directory


def run_page(
    directory: Path, name: str, *, example: str, tools: Sequence[str], timeout: float = 300
) -> float:
    """Run the commands of docs/recipes/`name`.md; return how many seconds they took.

    Raises:
        AssertionError: a command failed, or printed something else than the page shows.
    """
    for tool in tools:
        require_tool(tool)
    ports: dict[str, str] = {}
    page = with_free_ports((ROOT / "docs" / "recipes" / f"{name}.md").read_text(), ports)
    folder = checkout(directory / "checkout", example, ports)
    blocks = blocks_of(page)
    assert blocks, f"{name}.md has no commands"
    script = ["set -eu"]
    for number, block in enumerate(blocks):
        script += [f"echo '{MARK}{number}'", block.commands]
    path = directory / "commands.sh"
    path.write_text("\n".join(script))
    env = {
        "PATH": f"/usr/local/bin:/usr/bin:/bin:/usr/sbin:{folder / '.venv' / 'bin'}",
        "PYTHONUNBUFFERED": "",  # as on a reader's machine
    }
    began = time.monotonic()
    with Child(["bash", str(path)], log=directory / "output.log", env=env, cwd=folder) as shell:
        try:
            code = shell.wait(timeout=timeout)
        except ChildFailed as failure:
            raise AssertionError(f"{failure}{_logs(folder / 'examples' / example)}") from None
        took = time.monotonic() - began
        printed = _by_block(shell.output)
        assert code == 0, f"{shell.describe()}{_logs(folder / 'examples' / example)}"
    for number, block in enumerate(blocks):
        if block.prints is not None:
            text = printed.get(number, "")
            assert matches(text, block.prints), f"block {number} printed\n{text}\nnot\n{block.prints}"
    return took


def _by_block(output: str) -> dict[int, str]:
    parts = re.split(rf"^{MARK}(\d+)$", output, flags=re.MULTILINE)
    return {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True)}


def _logs(folder: Path) -> str:
    """Return the ends of what the programs of a recipe have logged."""
    return "".join(
        f"\n--- {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in sorted(folder.glob("*.log"))
    )
