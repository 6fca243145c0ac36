"""A process that has imported every service once, and forks one when it is told to.

A service imports for half a second of CPU; forked from here it stands after a tenth of that, which counts when ten
start at once and when one that died must be replaced. It has no threads and no event loop, so forking is safe.

    supervisor --order, report pipe--> nursery --fork--> intermediate --fork--> service
                                                         (ends at once)

The supervisor is a child subreaper (prctl(2)), so the service becomes its own child: it can wait for it, and the
kernel ends the service when the supervisor dies.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

import anyio

from dimse_mesh.runtime.errors import StartError

_PR_SET_CHILD_SUBREAPER = 36
_PARENT_SECONDS = 5.0
MAX_ORDER_BYTES = 64 * 1024


class Nursery:
    """The supervisor's end: starts the nursery, again if it has ended, and has services forked."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process, so that it imports while others start."""
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dimse_mesh.app.nursery", str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )

    async def fork(self, arguments: list[str], environment: Mapping[str, str], report: int) -> int:
        """Have `dimse-mesh ARGUMENTS` run in a new process; return its id. It gets `report` as a descriptor.

        Raises:
            StartError: there is no nursery, and none can be started.
        """
        order = json.dumps({"arguments": arguments, "environment": dict(environment)}).encode()
        async with self._lock:
            for _ in range(2):
                if self._socket is None:
                    self.start()
                with suppress(OSError, ValueError):
                    return await self._ask(order, report)
                self.close()
        raise StartError("services can't be started: the process that forks them ends at once")

    async def _ask(self, order: bytes, report: int) -> int:
        assert self._socket is not None
        socket.send_fds(self._socket, [order], [report])
        with anyio.CancelScope(shield=True):  # or a process would run that nobody knows of
            await anyio.wait_readable(self._socket)
        return int(self._socket.recv(64))

    def close(self) -> None:
        """End the process; what it has forked goes on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def main(descriptor: int, parent: int) -> None:
    """Fork a service for each order until the supervisor is gone."""
    from dimse_mesh.runtime.signals import die_with_parent

    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders = socket.socket(fileno=descriptor)
    _preload()
    while True:
        order, reports, _, _ = socket.recv_fds(orders, MAX_ORDER_BYTES, 1)
        if not order:
            return
        pid = _fork(json.loads(order), reports[0], parent, orders)
        os.close(reports[0])
        orders.send(str(pid).encode())


def _preload() -> None:
    """Import what every service needs, and keep the garbage collector off the pages that they share."""
    import uvloop  # noqa: F401

    import dimse_mesh.association
    import dimse_mesh.n_service
    import dimse_mesh.query_retrieve
    import dimse_mesh.scu
    import dimse_mesh.store  # noqa: F401
    from dimse_mesh.app import cli, run  # noqa: F401
    from dimse_mesh.runtime.telemetry import ENDPOINT_VARIABLES

    if any(os.environ.get(name) for name in ENDPOINT_VARIABLES):
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export  # noqa: F401

    gc.collect()
    gc.freeze()


def _fork(order: dict[str, dict[str, str]], report: int, supervisor: int, orders: socket.socket) -> int:
    """Fork twice and return the grandchild's process id, once it is the supervisor's child."""
    answer, tell = os.pipe()
    intermediate = os.fork()
    if intermediate == 0:
        service = os.fork()
        if service:
            os.write(tell, str(service).encode())
            os._exit(0)
        os.close(answer)
        os.close(tell)
        orders.close()
        _become(order, report, supervisor)
    os.close(tell)
    pid = int(os.read(answer, 64))
    os.close(answer)
    os.waitpid(intermediate, 0)
    return pid


def _become(order: dict[str, dict[str, str]], report: int, supervisor: int) -> None:
    """Be the service; never return."""
    from setproctitle import setproctitle

    from dimse_mesh.app.cli import main as command_line
    from dimse_mesh.runtime.supervised import REPORT_FD

    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setpgid(0, 0)
        os.environ.update(order["environment"])
        os.environ[REPORT_FD] = str(report)
        sys.argv = ["dimse-mesh", *order["arguments"]]
        setproctitle(" ".join(sys.argv))
        patience = time.monotonic() + _PARENT_SECONDS
        while os.getppid() != supervisor and time.monotonic() < patience:
            time.sleep(0.001)
        command_line()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
