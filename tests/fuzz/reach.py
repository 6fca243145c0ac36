"""Which steps of our own code an input takes, by Python's own tracing: slow, and the same everywhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

from tests.fuzz.target import FuzzTarget

Step = tuple[str, int, int]
"""File, line, and the line before it in the same call."""


def steps_of(target: FuzzTarget, data: bytes) -> set[Step]:
    """Return the steps that a target takes with an input."""
    steps: set[Step] = set()
    last: dict[int, int] = {}

    def trace(frame: FrameType, event: str, argument: Any) -> Any:  # noqa: ARG001 - Python's own interface
        name = frame.f_code.co_filename
        if "/dimse_mesh/" not in name:
            return None
        if event == "line":
            key = id(frame)
            steps.add((name, frame.f_lineno, last.get(key, 0)))
            last[key] = frame.f_lineno
        elif event == "return":
            last.pop(id(frame), None)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        target.run(data)
    finally:
        sys.settrace(before)
    return steps


def smallest_set(target: FuzzTarget, inputs: Iterable[bytes], *, most: int) -> list[bytes]:
    """Return inputs that together take all the steps which those take, the smallest first; `most` of them."""
    taken: set[Step] = set()
    chosen: list[bytes] = []
    for data in sorted(set(inputs), key=lambda one: (len(one), one)):
        new = steps_of(target, data) - taken
        if new and len(chosen) < most:
            chosen.append(data)
            taken |= new
    return chosen
