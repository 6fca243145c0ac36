"""Start a program whose end is bound to ours, and whose timers may be late."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# Run by a bare interpreter that becomes the program: the kernel then ends that if we die, however we die. Unlike a
# preexec_fn, safe in a process with threads. If our process is gone already, its pid tells. The slack is set here since
# threads have that of whoever starts them.
_BECOME = """
import ctypes, os, signal, sys
prctl = ctypes.CDLL(None).prctl
prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
parent, slack, *command = sys.argv[1:]
prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG
if int(slack):
    prctl(29, int(slack), 0, 0, 0)  # PR_SET_TIMERSLACK
if os.getppid() != int(parent):
    os._exit(1)
os.setpgid(0, 0)
os.execv(command[0], command)
"""


def launching(command: Sequence[str], *, timer_slack: int) -> list[str]:
    """Return the command that becomes `command`, and ends when this process does.

    Args:
        command: path of a program, and its arguments.
        timer_slack: nanoseconds by which its timers may be late; 0: as ours.
    """
    return [sys.executable, "-I", "-S", "-c", _BECOME, str(os.getpid()), str(timer_slack), *command]
