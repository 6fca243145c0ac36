"""The process that has imported every service, and becomes `dimse-mesh ARGUMENTS` in a fork for each order (`forking`).

It has no threads and no event loop, so forking is safe. What it forks are its own children: it tells how each ended.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from dataclasses import dataclass

from setproctitle import setproctitle

from dimse_mesh.app import __main__ as program
from dimse_mesh.app.cli import main as command_line
from dimse_mesh.app.nursery_process import MAX_ORDER_BYTES, preload


@dataclass(frozen=True, slots=True)
class Order:
    """What a fork becomes.

    Attributes:
        command: as `ps` shows it; what follows `-m dimse_mesh.app` are the arguments.
        environment: more variables than this process was started with.
    """

    command: list[str]
    arguments: list[str]
    environment: dict[str, str]
    directory: str


def next_order(orders: socket.socket) -> Order | None:
    """Fork for each order until whoever gives them is gone, and return None; return the order in each fork."""
    tell: dict[int, int] = {}
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select([orders, woken], [], [])
        if woken in ready:
            woken.recv(4096)
            _tell_ends(tell)
        if orders not in ready:
            continue
        order, descriptors, _, _ = socket.recv_fds(orders, MAX_ORDER_BYTES, 3)
        if not order:
            return None
        output, errors, ended = descriptors
        pid = os.fork()
        if pid == 0:
            os.dup2(output, 1)
            os.dup2(errors, 2)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for one in (orders, woken, wake):
                one.detach()
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            return Order(**json.loads(order))
        os.setpgid(pid, pid)  # before anybody knows of it, and ends the group
        handle = os.pidfd_open(pid)  # before `_tell_ends` takes it away
        socket.send_fds(orders, [str(pid).encode()], [handle])
        os.close(handle)
        os.close(output)
        os.close(errors)
        tell[pid] = ended


def _tell_ends(tell: dict[int, int]) -> None:
    """Write the exit code of every child that has ended where it was asked for."""
    while tell:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        ended = tell.pop(pid)
        os.write(ended, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(ended)


def become(order: Order) -> None:
    """Be that program, and end as a process ends that was started."""
    os.environ.update(order.environment)
    os.chdir(order.directory)
    sys.path[0] = order.directory
    setproctitle(" ".join(order.command))
    sys.modules["__main__"] = program
    sys.argv = [str(program.__file__), *order.arguments]
    command_line()


def import_what_commands_need() -> None:
    """Import what the commands for people import, and services don't."""
    import rich.console
    import rich.table  # noqa: F401


if __name__ == "__main__":
    preload()
    if sys.argv[2] == "commands":
        import_what_commands_need()
    wanted = next_order(socket.socket(fileno=int(sys.argv[1])))
    if wanted is not None:
        become(wanted)
