"""Thousands of random conversations, direct and through two zones: no difference but the documented ones.

`make differential COUNT=100000` tries more of them, `make differential SEED=4711` performs one and prints it.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tests.interop.differential.lanes import mesh_with_lanes
from tests.interop.differential.play import compare_all

COUNT = int(os.environ.get("DIFFERENTIAL_COUNT", "3000"))
FIRST = int(os.environ.get("DIFFERENTIAL_FIRST", "0"))


def test_conversations_are_the_same_direct_and_through_two_zones(tmp_path: Path) -> None:
    mesh, lanes = mesh_with_lanes(tmp_path / "mesh")
    with mesh:
        found = asyncio.run(compare_all(lanes, range(FIRST, FIRST + COUNT)))
        assert "Traceback" not in mesh.child.output
    assert not found, "\n\n".join(map(str, found))
