"""The layers are checked by import-linter; here a planted violation of each contract is seen to fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
ROOTS = ("common", "schemas", "services")

# Without the repository on the path: a namespace package would mix the copy with the original.
LINT = """
import sys
sys.path[:] = [f"{sys.argv[1]}/{root}" for root in ("common", "schemas", "services")] + [
    entry for entry in sys.path if not entry.startswith(tuple(sys.argv[2].split(":")))
]
from importlinter.cli import lint_imports
sys.exit(lint_imports(config_filename=f"{sys.argv[1]}/pyproject.toml", no_cache=True))
"""

PLANTED = {
    "a service imports its sibling": ("services/dimse_mesh/store/planted.py", "import dimse_mesh.scu"),
    "a lower layer imports a higher one": ("common/dimse_mesh/mesh/planted.py", "import dimse_mesh.endpoint"),
    "schemas import anything of ours": ("schemas/dimse_mesh/schemas/planted.py", "import dimse_mesh.dimse"),
    "the protocol core has a clock": ("common/dimse_mesh/upper_layer/planted.py", "import time"),
    "the message core does input and output": ("common/dimse_mesh/dimse/planted.py", "import asyncio"),
    "a service speaks NATS itself": ("services/dimse_mesh/scu/planted.py", "import nats"),
    "what starts nats-server speaks NATS": ("common/dimse_mesh/nats_server/planted.py", "import nats"),
    "the mesh knows which server it is on": (
        "common/dimse_mesh/mesh/planted.py",
        "import dimse_mesh.nats_server",
    ),
    "the data path uses pynetdicom": ("common/dimse_mesh/endpoint/planted.py", "import pynetdicom"),
    "a half has a clock": ("common/dimse_mesh/endpoint/remote_side.py", "import asyncio"),
    "a stream does input and output": ("common/dimse_mesh/streams/inbound.py", "import socket"),
    "a stream knows the bus": ("common/dimse_mesh/streams/outbound.py", "import dimse_mesh.mesh"),
    "a circle within the endpoint": (
        "common/dimse_mesh/endpoint/deadlines.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dimse_mesh.endpoint.half import planted",
    ),
    "a circle within the streams": (
        "common/dimse_mesh/streams/congestion.py",
        "import dimse_mesh.streams.outbound",
    ),
    "a circle within the command line": (
        "services/dimse_mesh/app/run.py",
        "from dimse_mesh.app.cli import main as planted",
    ),
    "a circle that only types close": (
        "services/dimse_mesh/scu/slots.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dimse_mesh.scu.executor import planted",
    ),
    "a package that no layer names": ("common/dimse_mesh/planted/__init__.py", ""),
}


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    ours = ":".join(str(REPOSITORY / root) for root in ROOTS)
    return subprocess.run(
        [sys.executable, "-c", LINT, str(tree), ours],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for root in ROOTS:
        shutil.copytree(REPOSITORY / root, tmp_path / root, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def test_tree_keeps_its_contracts(copy: Path) -> None:
    result = lint(copy)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("violation", PLANTED)
def test_planted_violation_is_found(copy: Path, violation: str) -> None:
    path, line = PLANTED[violation]
    file = copy / path
    file.parent.mkdir(exist_ok=True)
    with file.open("a") as text:
        text.write(f"\n{line}\n")
    result = lint(copy)
    assert result.returncode != 0, f"{violation} went unnoticed"
    named = file.parent.name if file.stem == "__init__" else file.stem
    assert named in result.stdout + result.stderr
