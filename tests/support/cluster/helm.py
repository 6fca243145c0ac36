"""The helm program, built from source once, and running it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[2] / "cluster/helm/build.sh"
CHART = "k8s/helm/dimse-mesh"


def helm_program() -> str:
    """Return the program's path; without Go, skip, or fail in CI."""
    done = subprocess.run([str(BUILD)], capture_output=True, text=True, check=False, timeout=1200)
    if done.returncode == 0:
        return done.stdout.strip()
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if shutil.which("go") is None and os.environ.get("CI") != "true":
        pytest.skip(last)
    pytest.fail(f"helm was not built: {last}")


def run(helm: str, *arguments: str, fails: bool = False) -> str:
    """Run helm; return its output.

    Raises:
        AssertionError: it failed, or didn't although it should.
    """
    done = subprocess.run(
        [helm, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout
