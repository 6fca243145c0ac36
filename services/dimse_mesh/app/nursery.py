"""The supervisor's end of the nursery: a process that has imported every service once, and forks one on order.

A service needs half a second of CPU for its imports. Forked from the nursery it is ready after a tenth of that, which
matters when ten start at once and when a dead one must be replaced. `nursery_process` holds the code of that process.

    supervisor --order, report pipe--> nursery --fork--> intermediate --fork--> service
                                                         (ends at once)

The nursery is a fork of the supervisor itself, which has imported half of what services import. One that has ended is
started anew as a program: by then the supervisor has an event loop.

The supervisor is a child subreaper (prctl(2)), so the service becomes a child of the supervisor. So the supervisor can
wait for the service, and the kernel ends the service when the supervisor dies.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module

import anyio

from dimse_mesh.runtime.errors import StartError

_PR_SET_CHILD_SUBREAPER = 36
PROCESS = "dimse_mesh.app.nursery_process"
"""Found by name: it imports the command line, which imports this module."""


class Nursery:
    """The supervisor's end: starts the nursery, again if it has ended, and has services forked."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()
        self._socket: socket.socket | None = None
        self._pid: int | None = None

    def start(self) -> None:
        """Start the process as a fork of this one, before this one has threads or an event loop."""
        with self._socket_pair() as theirs:
            supervisor = os.getpid()
            self._pid = os.fork()
            if self._pid == 0:
                self.close()
                import_module(PROCESS).begin(theirs, supervisor)

    def _start_again(self) -> None:
        with self._socket_pair() as theirs:
            theirs.set_inheritable(True)
            command = [sys.executable, "-m", PROCESS, str(theirs.fileno()), str(os.getpid())]
            nothing = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
            self._pid = os.posix_spawn(command[0], command, os.environ, file_actions=[nothing], setpgroup=0)

    def _socket_pair(self) -> socket.socket:
        """Make the socket for orders; return the nursery's end."""
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        return theirs

    async def fork(self, arguments: list[str], environment: Mapping[str, str], report: int) -> int:
        """Have `dimse-mesh ARGUMENTS` run in a new process; return its id. It gets `report` as a descriptor.

        Raises:
            StartError: there is no nursery, and none can be started.
        """
        order = json.dumps({"arguments": arguments, "environment": dict(environment)}).encode()
        async with self._lock:
            for _ in range(2):
                if self._socket is None:
                    self._start_again()
                with suppress(OSError, ValueError):
                    return await self._ask(order, report)
                self.close()
        raise StartError("services can't be started: the process that forks them ends at once")

    async def _ask(self, order: bytes, report: int) -> int:
        assert self._socket is not None
        socket.send_fds(self._socket, [order], [report])
        with anyio.CancelScope(shield=True):  # else a process would run that nobody knows of
            await anyio.wait_readable(self._socket)
        return int(self._socket.recv(64))

    def close(self) -> None:
        """End the process; what it has forked goes on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = None
