"""The side that works: takes one piece of work after the other from its standard input, until that ends.

What the work prints goes nowhere: it may be private, and standard output is for answers.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from typing import BinaryIO

from dimse_mesh.isolation.frames import LENGTH, Head, decode_head, encode_head

Work = Callable[[Head, list[bytes]], tuple[Head, Sequence[bytes]]]
"""Takes a head and parts, and returns a head and parts. What it raises ends the process."""
_PR_SET_PDEATHSIG = 1


def serve_with_pydicom(start: Callable[[], Work], *, missing: str) -> None:
    """Serve by `start`, or, without pydicom, say of every piece of work what is `missing`."""
    try:
        import pydicom  # noqa: F401 - is it there?
    except ImportError:
        serve(lambda: lambda _, __: ({"failed": missing}, []))
    else:
        serve(start)


def serve(start: Callable[[], Work]) -> None:
    """Limit this process, prepare by `start`, and work until there is no more.

    The first argument of the command line is the limit of its memory, in bytes of address space.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # nothing outlives the one who asks
    memory = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold a patient's data
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    work = start()
    _answer(answers, {}, [])
    while (request := _next(sys.stdin.buffer)) is not None:
        _answer(answers, *work(*request))


def _next(requests: BinaryIO) -> tuple[Head, list[bytes]] | None:
    length = requests.read(LENGTH.size)
    if len(length) < LENGTH.size:
        return None
    head, lengths = decode_head(requests.read(LENGTH.unpack(length)[0]))
    return head, [requests.read(length) for length in lengths]


def _answer(answers: BinaryIO, head: Head, parts: Sequence[bytes]) -> None:
    answers.write(encode_head(head, parts))
    for part in parts:
        answers.write(part)
    answers.flush()
