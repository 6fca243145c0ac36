"""The process that has imported every service, and forks one for each order of the supervisor (`nursery`).

It has no threads and no event loop, so forking is safe.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import NoReturn

_PARENT_SECONDS = 5.0
MAX_ORDER_BYTES = 64 * 1024
ORDERS = 3
"""Descriptor of the socket for orders in a fork of the supervisor."""
TITLE = "dimse-mesh nursery"
"""What `ps` shows."""


def begin(orders: socket.socket, parent: int) -> NoReturn:
    """Be the nursery from here on, in a fork of the supervisor."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.dup2(orders.fileno(), ORDERS)
        orders.detach()
        os.closerange(ORDERS + 1, os.sysconf("SC_OPEN_MAX"))  # the supervisor's
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        main(ORDERS, parent)
        code = 0
    finally:
        os._exit(code)


def main(descriptor: int, parent: int) -> None:
    """Fork a service for each order until the supervisor is gone."""
    from setproctitle import setproctitle

    from dimse_mesh.runtime.signals import die_with_parent

    setproctitle(TITLE)
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    orders = socket.socket(fileno=descriptor)
    preload()
    while True:
        order, reports, _, _ = socket.recv_fds(orders, MAX_ORDER_BYTES, 1)
        if not order:
            return
        pid = _fork(json.loads(order), reports[0], parent, orders)
        os.close(reports[0])
        orders.send(str(pid).encode())


def preload() -> None:
    """Import what every service needs, and keep the garbage collector off the pages that they share."""
    import anyio._backends._asyncio  # noqa: F401  # what `anyio.run` imports
    import uvloop  # noqa: F401

    import dimse_mesh.association
    import dimse_mesh.delivery
    import dimse_mesh.n_service
    import dimse_mesh.query_retrieve
    import dimse_mesh.scu
    import dimse_mesh.store  # noqa: F401
    from dimse_mesh.app import cli, run  # noqa: F401
    from dimse_mesh.runtime.telemetry import ENDPOINT_VARIABLES

    if any(os.environ.get(name) for name in ENDPOINT_VARIABLES):
        from dimse_mesh.runtime import span_export  # noqa: F401

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
