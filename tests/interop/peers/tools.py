"""Programs of other makes that no package of the system has: pinned, installed outside the tree by `make interop`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

DICOM_RS = "0.10.1"
DCMJS_DIMSE = "0.3.3"
CACHE = Path(os.environ.get("DIMSE_MESH_CACHE", Path.home() / ".cache" / "dimse-mesh"))
DICOM_RS_BIN = CACHE / f"dicom-rs-{DICOM_RS}" / "bin"
NODE_MODULES = CACHE / f"dcmjs-dimse-{DCMJS_DIMSE}" / "node_modules"


@dataclass(frozen=True, slots=True)
class Done:
    """How a program ended."""

    code: int
    output: str


def run(command: Sequence[object], *, env: Mapping[str, str] | None = None, timeout: float = 90) -> Done:
    """Run a program to its end; one that takes longer than `timeout` seconds is killed: exit code -9."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return Done(-9, (error.stdout or b"").decode(errors="replace"))
    return Done(done.returncode, done.stdout.decode(errors="replace"))
