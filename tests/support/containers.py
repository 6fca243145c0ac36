"""A container engine for tests: dockerd started by hand in its own directory, stopped by its pid.

Containers use host networking and bind to 127.0.0.1: no bridge, no firewall rule, no address but loopback.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.process import Child, require_tool, wait_until

DOCKER = "/usr/bin/docker"
COMPOSE = "/usr/bin/docker-compose"
IMAGE = "dimse-mesh:test"
DEV_IMAGE = "dimse-mesh:dev"
BASE = "dimse-mesh-base:bookworm"
"""Debian with Python; see deploy/image/build.sh."""


def require_engine_tools(*tools: str) -> None:
    """Skip on a laptop, fail in CI, where a tool or the right to use it is missing."""
    for tool in tools:
        require_tool(tool)
    if os.geteuid() != 0:
        reason = "a container engine of the test's own needs root"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@dataclass(frozen=True, slots=True)
class Engine:
    """A running dockerd."""

    socket: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to find it."""
        return {**os.environ, "DOCKER_HOST": f"unix://{self.socket}"}

    def run(self, *arguments: str, timeout: float = 120) -> str:
        """Run a docker command and return its output.

        Raises:
            AssertionError: it failed; the text holds its output.
        """
        return self._call([DOCKER, *arguments], timeout=timeout)

    def compose(self, file: Path, project: str, *arguments: str, timeout: float = 180) -> str:
        """Run a docker-compose command and return its output."""
        command = [COMPOSE, "--ansi", "never", "--file", str(file), "--project-name", project, *arguments]
        return self._call(command, timeout=timeout)

    def _call(self, command: Sequence[str], *, timeout: float) -> str:
        done = subprocess.run(
            command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
        output = done.stdout.decode(errors="replace")
        assert done.returncode == 0, f"{' '.join(command)}:\n{output}"
        return output

    def state(self, container: str) -> Mapping[str, object]:
        """Return a container's state."""
        found: Mapping[str, object] = json.loads(
            self.run("inspect", "--format", "{{json .State}}", container)
        )
        return found

    def healthy(self, container: str) -> bool:
        """Tell whether the container's own health check says healthy."""
        health = self.state(container).get("Health")
        return isinstance(health, dict) and health["Status"] == "healthy"


@contextmanager
def engine() -> Iterator[Engine]:
    """Start dockerd with its own data root; delete everything that it made afterwards."""
    require_engine_tools(DOCKER, "dockerd", "mmdebstrap")
    root = Path(tempfile.mkdtemp(prefix="dimse-mesh-docker-", dir="/var/tmp"))
    socket = root / "docker.sock"
    command = ["dockerd", "--data-root", str(root / "data"), "--exec-root", str(root / "exec")]
    command += ["--pidfile", str(root / "pid"), "--host", f"unix://{socket}", "--bridge=none"]
    command += ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]
    try:
        with Child(command, log=root / "dockerd.log") as daemon:
            daemon.wait_for_line("Daemon has completed initialization", timeout=60)
            wait_until(socket.exists, "dockerd's socket")
            made = Engine(socket)
            try:
                yield made
            finally:
                for name in made.run("ps", "--all", "--quiet").split():
                    made.run("rm", "--force", name)
    finally:
        remove_tree(root)


def remove_tree(root: Path) -> None:
    """Delete a folder of an engine, what it left mounted there first."""
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):
        place = line.split()[1]
        if place.startswith(f"{root}/"):
            subprocess.run(["umount", place], check=False)
    shutil.rmtree(root)


def build_image(made: Engine) -> None:
    """Build the image as a developer without a registry does."""
    environment = {**made.environment, "DOCKER": DOCKER, "PYTHON": sys.executable, "DEV_TAG": DEV_IMAGE}
    done = subprocess.run(
        ["deploy/image/build.sh", IMAGE],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")
