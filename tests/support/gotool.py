"""Programs that are compiled from the Go module proxy: each has a build.sh that prints where it is."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest


@cache
def go_program(script: Path) -> str:
    """Return the program that a build.sh makes; without Go, skip on a laptop and fail in CI."""
    run = subprocess.run([script.absolute()], capture_output=True, text=True, check=False)
    if run.returncode == 0:
        return run.stdout.strip()
    if os.environ.get("CI") == "true":
        pytest.fail(run.stderr)
    pytest.skip(run.stderr.strip())
