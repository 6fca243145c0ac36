"""Damaged inputs without a coverage-guided engine: quick to make, the same for the same seed, on any Python."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

_TELLING = (0, 1, 2, 0x0A, 0x20, 0x22, 0x2D, 0x5B, 0x7B, 0x7F, 0x80, 0xFE, 0xFF)
LONGEST = 4096
"""Bytes of an input."""


def mutations(seeds: Sequence[bytes], start: int) -> Iterator[bytes]:
    """Yield damaged inputs without end, the one after the other from the seed `start`."""
    while True:
        yield mutated(seeds, random.Random(start))
        start += 1


def mutated(seeds: Sequence[bytes], rng: random.Random) -> bytes:
    """Return one input: rubbish now and then, else one of `seeds` with some damage, or parts of two."""
    if not seeds or rng.random() < 0.05:
        return rng.randbytes(rng.randrange(200))
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randrange(1, 5)):
        _damage(data, seeds, rng)
    return bytes(data[:LONGEST])


def _damage(data: bytearray, seeds: Sequence[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(data)) if data else 0
    match rng.randrange(7):
        case 0 if data:
            data[at] = rng.choice(_TELLING)
        case 1 if data:
            data[at] = rng.randrange(256)
        case 2:
            del data[at : at + rng.randrange(1, 9)]
        case 3:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        case 4:
            data[at:at] = data[at : at + rng.randrange(1, 40)]
        case 5:
            other = rng.choice(seeds)
            begin = rng.randrange(len(other)) if other else 0
            data[at:] = other[begin:]
        case _:
            size = rng.choice((1, 2, 4))
            data[at : at + size] = rng.choice((0, 1, 8 * size, (1 << 8 * size) - 1)).to_bytes(
                size, rng.choice(("big", "little"))
            )
