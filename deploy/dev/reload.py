"""Process 1 of the development image: run a command, and start it again in place on SIGHUP.

A container that ends is made anew from its image, and what a live update wrote into it would be lost.
"""

import os
import signal
import subprocess
import sys

_command = sys.argv[1:]
_restart = False
_child: subprocess.Popen[bytes] | None = None


def _again(_number: int, _frame: object) -> None:
    global _restart  # noqa: PLW0603 - a signal handler has nowhere else to put it
    _restart = True
    if _child is not None:
        _child.terminate()


def _pass_on(number: int, _frame: object) -> None:
    if _child is not None:
        _child.send_signal(number)


def main() -> int:
    """Run the command until it ends by itself or by a signal to us; return its exit code."""
    global _child, _restart  # noqa: PLW0603
    signal.signal(signal.SIGHUP, _again)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _pass_on)
    while True:
        _restart = False
        _child = subprocess.Popen(_command, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        code = _child.wait()
        if not _restart:
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
