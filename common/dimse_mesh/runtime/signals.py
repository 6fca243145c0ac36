"""SIGTERM and SIGINT drain; a second one, or a drain that never ends, ends the process at once."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

import anyio
import anyio.abc

_PR_SET_PDEATHSIG = 1


async def drain_on_signal(
    draining: anyio.Event,
    *,
    grace: float,
    insist: Callable[[], None] | None = None,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Set `draining` at the first SIGTERM or SIGINT; run until cancelled.

    A second signal calls `insist`. Without `insist`, and in any case `grace` seconds after the first signal, SIGALRM
    ends the process, because its supervisor relies on its end.
    """
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        task_status.started()
        async for _ in received:
            if not draining.is_set():
                draining.set()
                signal.setitimer(signal.ITIMER_REAL, grace)
            elif insist is not None:
                insist()
            else:
                signal.setitimer(signal.ITIMER_REAL, 0.001)


def drained() -> None:
    """Take back the deadline that `drain_on_signal` set."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def die_with_parent(parent: int) -> None:
    """Have the kernel send SIGTERM when process `parent`, that started this one, ends (prctl(2)).

    Raises:
        SystemExit: the parent is gone already.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)
