"""The line that says on standard output that a process is ready."""

from __future__ import annotations

import sys


def say_ready() -> None:
    """Print `ready` in one write, newline and all: other processes may write to the same pipe."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
