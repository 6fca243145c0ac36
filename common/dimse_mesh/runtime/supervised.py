"""What a child of `dimse-mesh up` and its supervisor tell each other.

The supervisor gives each child an instance id, the supervisor's process id and the write end of a pipe. The child
writes one line to the pipe: `ready`, or `failed` and the reason.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from dimse_mesh.runtime.signals import die_with_parent

INSTANCE = "_DIMSE_MESH_INSTANCE"
PARENT = "_DIMSE_MESH_PARENT"
REPORT_FD = "_DIMSE_MESH_REPORT_FD"
READY = "ready"
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Supervised:
    """A process's place under a supervisor; without one it makes its own id and reports to nobody."""

    instance: str
    report_fd: int | None = None
    parent: int | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Supervised:
        """Read the environment variables that the supervisor has set."""
        fd, parent = environ.get(REPORT_FD), environ.get(PARENT)
        return cls(
            instance=environ.get(INSTANCE) or new_instance(),
            report_fd=int(fd) if fd else None,
            parent=int(parent) if parent else None,
        )

    def follow_parent(self) -> None:
        """Make the kernel end this process when its supervisor ends."""
        if self.parent is not None:
            die_with_parent(self.parent)

    def report(self, word: str, why: str = "") -> bool:
        """Write one line to the supervisor; False when there is none to hear it."""
        if self.report_fd is None:
            return False
        try:
            os.write(self.report_fd, f"{word} {why}".strip().replace("\n", " ").encode() + b"\n")
        except OSError:
            return False
        return True


def new_instance() -> str:
    """Return an instance id: random, never used twice, one subject token."""
    return secrets.token_hex(8)
