"""Compare random conversations, direct and through the mesh: `python -m tests.interop.differential --help`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.interop.differential.lanes import LANES, mesh_with_lanes
from tests.interop.differential.play import compare_all


def main() -> int:
    """Run and print; the exit code is 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=20_000, help="conversations")
    parser.add_argument("--seed", type=int, help="this one conversation")
    parser.add_argument("--enough", type=int, default=5, help="stop after so many differences")
    options = parser.parse_args()
    seeds = (
        range(options.first, options.first + options.count)
        if options.seed is None
        else range(options.seed, options.seed + 1)
    )
    with tempfile.TemporaryDirectory(prefix="dimse-mesh-differential-") as directory:
        mesh, lanes = mesh_with_lanes(Path(directory) / "mesh")
        with mesh:
            began = time.monotonic()
            found = asyncio.run(
                compare_all(lanes, seeds, enough=options.enough, told=lambda one: print(one, flush=True))
            )
            took = time.monotonic() - began
    print(f"{len(seeds)} conversations in {LANES} lanes, {took:.0f} s: {len(found)} differ")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
