"""One target without a coverage-guided engine: damaged inputs for some seconds."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

from tests.fuzz.mutation import mutations
from tests.fuzz.target import FuzzTarget

SLOWEST = 10.0
"""CPU seconds that an input of a few kilobytes may take, on the slowest machine that we know."""
MOST_GROWTH = 64 << 20
"""Bytes by which the process may grow."""


class Finding(AssertionError):
    """An input that a parser doesn't take as it should; the text has it in hexadecimal."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What was done.

    Attributes:
        slowest: CPU seconds that one input took at most.
    """

    inputs: int
    slowest: float


def try_one(target: FuzzTarget, data: bytes) -> float:
    """Run a target with one input; return the CPU seconds that it took.

    Raises:
        Finding: it raised what it doesn't document, or took too long.
    """
    begun = time.process_time()
    try:
        target.run(data)
    except Exception as error:
        raise Finding(
            f"{target.name}: {type(error).__name__}: {error}: bytes.fromhex('{data.hex()}')"
        ) from error
    took = time.process_time() - begun
    if took > SLOWEST:
        raise Finding(f"{target.name}: {took:.1f} CPU seconds: {_shown(data)}")
    return took


def _shown(data: bytes) -> str:
    text = f"bytes.fromhex('{data[:2048].hex()}')"
    return text if len(data) <= 2048 else f"{len(data)} bytes, the first of which are {text}"


def try_many(target: FuzzTarget, *, seconds: float, start: int) -> Tried:
    """Run a target with what is kept, its seeds, and damaged ones, for some seconds.

    Args:
        start: seed of the first damaged input.

    Raises:
        Finding: the first.
    """
    until = time.monotonic() + seconds
    known = [*target.seeds(), *target.corpus()]
    slowest = max((try_one(target, data) for data in known), default=0.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    inputs = len(known)
    for data in mutations(known, start):
        if time.monotonic() > until:
            break
        slowest = max(slowest, try_one(target, data))
        inputs += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    if grown > MOST_GROWTH:
        raise Finding(f"{target.name}: the process grew by {grown >> 20} MiB")
    return Tried(inputs, slowest)
