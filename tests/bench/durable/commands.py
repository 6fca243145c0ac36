"""An operator's `queue` commands, and what they take."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass

import yaml

from tests.support.mesh import COMMAND, Mesh
from tests.support.process import cpu_seconds


@dataclass(frozen=True, slots=True)
class Spent:
    """What a command has taken.

    Attributes:
        cpu: seconds, its own and nats-server's.
        wall: seconds.
        peak: bytes, its own.
    """

    cpu: float
    wall: float
    peak: int

    def each(self, objects: int, start: Spent) -> float:
        """Return the CPU seconds an object, without those that a command takes to start: of few objects it is noise."""
        return max(self.cpu - start.cpu, 1e-6 * objects) / objects


def command(mesh: Mesh, *arguments: str) -> Spent:
    """Run a `queue` command on the hospital's zone."""
    server = mesh.pids()["nats-server"]
    before, began = cpu_seconds(server), time.perf_counter()
    child = subprocess.Popen(
        queue(mesh, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, arguments
    took = time.perf_counter() - began
    cpu = used.ru_utime + used.ru_stime + cpu_seconds(server) - before
    return Spent(cpu, took, used.ru_maxrss * 1024)


def said(mesh: Mesh, *arguments: str) -> str:
    """Run a `queue` command on the hospital's zone; return what it prints."""
    return subprocess.run(
        queue(mesh, *arguments), check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ).stdout


def queue(mesh: Mesh, *arguments: str) -> list[str]:
    """Return the command line of a `queue` command."""
    path = mesh.directory / "operator.yaml"
    config = yaml.safe_load((mesh.directory / "hospital.yaml").read_text())
    config["nats"] = {"servers": [f"nats://127.0.0.1:{mesh.nats_port}"]}
    path.write_text(yaml.safe_dump(config))
    return [*COMMAND, "queue", *arguments, "--config", str(path)]
