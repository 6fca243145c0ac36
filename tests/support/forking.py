"""Services for tests, forked from a process that has imported them all, as `up` has it (ADR 6), for the same reason.

A service that is started imports for three quarters of a second of CPU, and a test of faults starts up to ten; a
command for people imports for longer.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

PROCESS = "tests.support.forking_process"
PROGRAM = (sys.executable, "-m", "dimse_mesh.app")
OURS = "DIMSE_MESH_"
"""How variables begin that a service's settings are read from; others may count when Python starts or imports."""
OF_PYTEST = "PYTEST_"
Surroundings = tuple[Path, dict[str, str], tuple[int, int]]


class Forked:
    """A process that was forked; as much of `subprocess.Popen` as `Child` needs."""

    def __init__(self, pid: int, handle: int, stdout: IO[bytes] | None, ended: int) -> None:
        self.pid = pid
        self.stdout = stdout
        self._handle = handle
        self._ended = ended
        self._code: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal), or None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended.

        Raises:
            subprocess.TimeoutExpired: it hadn't after `timeout` seconds.
        """
        with self._lock:
            if self._code is None:
                if not select.select([self._ended], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
                # Nothing: the process that was to tell is gone itself.
                self._code = int(os.read(self._ended, 16) or -signal.SIGKILL)
                os.close(self._ended)
                os.close(self._handle)
            return self._code

    def send_signal(self, number: int) -> None:
        """Send a signal if it runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def terminate(self) -> None:
        """Send SIGTERM if it runs."""
        self.send_signal(signal.SIGTERM)


class Forking:
    """Starts that process when the first fork is wanted; it ends when this process does.

    Args:
        what: `services`, or `commands`: pydicom and pynetdicom are imported, too.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._orders: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._surroundings: Surroundings | None = None

    def can_start(self, command: Sequence[str], env: Mapping[str, str]) -> bool:
        """Tell whether forking `command` is the same as starting it: nothing new counts before settings are read."""
        if tuple(command[: len(PROGRAM)]) != PROGRAM or not all(name.startswith(OURS) for name in env):
            return False
        with self._lock:
            if self._surroundings is None:
                self._start()
            return _surroundings() == self._surroundings

    def start(self, command: Sequence[str], env: Mapping[str, str], cwd: Path | None) -> Forked:
        """Fork a process that becomes `command`."""
        output, theirs = os.pipe()
        try:
            pid, handle, ended = self._fork(command, env, cwd, outputs=(theirs, theirs))
        finally:
            os.close(theirs)
        return Forked(pid, handle, os.fdopen(output, "rb"), ended)

    def run(self, command: Sequence[str], *, timeout: float) -> subprocess.CompletedProcess[str]:
        """Have a fork be `command`, and return what became of it.

        Raises:
            subprocess.TimeoutExpired: it still ran after `timeout` seconds, and was killed.
        """
        with TemporaryFile() as output, TemporaryFile() as errors:
            pid, handle, ended = self._fork(command, {}, None, outputs=(output.fileno(), errors.fileno()))
            forked = Forked(pid, handle, None, ended)
            try:
                code = forked.wait(timeout)
            except BaseException:
                forked.send_signal(signal.SIGKILL)
                forked.wait()
                raise
            texts = []
            for file in (output, errors):
                file.seek(0)
                texts.append(file.read().decode())
            return subprocess.CompletedProcess(command, code, *texts)

    def _fork(
        self, command: Sequence[str], env: Mapping[str, str], cwd: Path | None, *, outputs: tuple[int, int]
    ) -> tuple[int, int, int]:
        """Return the process's id, a pidfd of it, and where its exit code can be read when it has ended."""
        own = {name: value for name, value in os.environ.items() if name.startswith(OURS)}
        order = {
            "command": list(command),
            "arguments": list(command[len(PROGRAM) :]),
            "environment": {**own, **env},
            "directory": os.fspath(cwd or Path.cwd()),
        }
        ended, tell = os.pipe()
        with self._lock:
            assert self._orders is not None
            socket.send_fds(self._orders, [json.dumps(order).encode()], [*outputs, tell])
            pid, (handle,), _, _ = socket.recv_fds(self._orders, 64, 1)
        os.close(tell)
        return int(pid), handle, ended

    def close(self) -> None:
        """End that process; what it has forked goes on, unheard."""
        if self._orders is not None and self._process is not None:
            self._orders.close()
            self._process.wait(10)
            self._orders = self._process = None

    def _start(self) -> None:
        self._surroundings = _surroundings()
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", PROCESS, str(theirs.fileno()), self._what],
                stdin=subprocess.DEVNULL,
                stdout=theirs.fileno(),  # as a fork's no file: Python looks at what it writes to when it starts
                env={name: value for name, value in os.environ.items() if not name.startswith(OURS)},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )


def _surroundings() -> Surroundings:
    """Return what a process has from the one that starts it: folder, others' variables, limit of core dumps."""
    others = {name: value for name, value in os.environ.items() if not name.startswith((OURS, OF_PYTEST))}
    return Path.cwd(), others, resource.getrlimit(resource.RLIMIT_CORE)


SERVICES = Forking("services")
COMMANDS = Forking("commands")


@atexit.register
def _close_all() -> None:
    # Registered before `Child`'s own, so it comes after that has stopped what runs.
    for one in (SERVICES, COMMANDS):
        one.close()
