"""Services for tests, forked from a process that has imported them all, as `up` has it (ADR 6), for the same reason.

A service that is started imports for three quarters of a second of CPU. A test of faults starts up to ten.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

PROCESS = "tests.support.forking_process"
PROGRAM = (sys.executable, "-m", "dimse_mesh.app")
OURS = "DIMSE_MESH_"
"""How variables begin that a service's settings are read from; others may count when Python starts or imports."""
OF_PYTEST = "PYTEST_"


class Forked:
    """A process that was forked; as much of `subprocess.Popen` as `Child` needs."""

    def __init__(self, pid: int, handle: int, stdout: IO[bytes], ended: int) -> None:
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
    """Starts that process when the first service is wanted; it ends when this process does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._surroundings: tuple[Path, dict[str, str]] | None = None

    def can_start(self, command: Sequence[str], env: Mapping[str, str]) -> bool:
        """Tell whether forking `command` is the same as starting it: nothing new counts before settings are read."""
        if tuple(command[: len(PROGRAM)]) != PROGRAM or not all(name.startswith(OURS) for name in env):
            return False
        with self._lock:
            if self._surroundings is None:
                self._start()
            return _surroundings() == self._surroundings

    def start(self, command: Sequence[str], env: Mapping[str, str]) -> Forked:
        """Fork a process that becomes `command`."""
        own = {name: value for name, value in os.environ.items() if name.startswith(OURS)}
        order = {
            "command": list(command),
            "arguments": list(command[len(PROGRAM) :]),
            "environment": {**own, **env},
        }
        output, theirs = os.pipe()
        ended, tell = os.pipe()
        with self._lock:
            assert self._orders is not None
            socket.send_fds(self._orders, [json.dumps(order).encode()], [theirs, tell])
            pid, (handle,), _, _ = socket.recv_fds(self._orders, 64, 1)
        os.close(theirs)
        os.close(tell)
        return Forked(int(pid), handle, os.fdopen(output, "rb"), ended)

    def _start(self) -> None:
        self._surroundings = _surroundings()
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", PROCESS, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # as a fork's: Python has looked at what it writes to by then
                env={name: value for name, value in os.environ.items() if not name.startswith(OURS)},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )


def _surroundings() -> tuple[Path, dict[str, str]]:
    """Return what counts when Python starts, or imports: the working directory and others' variables."""
    others = {name: value for name, value in os.environ.items() if not name.startswith((OURS, OF_PYTEST))}
    return Path.cwd(), others


FORKING = Forking()
"""This process's."""
