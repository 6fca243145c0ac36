"""Many objects at once, bounded by their number and by their bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest

from dimse_mesh.mesh import MeshError
from dimse_mesh.spool import for_each
from dimse_mesh.spool.many import AT_ONCE, MOST_BYTES


async def _items(count: int) -> AsyncIterator[int]:
    for number in range(count):
        await anyio.lowlevel.checkpoint()
        yield number


async def _most_at_once(count: int, weighs: int) -> int:
    under_way = most = 0

    async def do(_: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(2 * AT_ONCE):
            await anyio.lowlevel.checkpoint()
        under_way -= 1

    await for_each(_items(count), do, weight=lambda _: weighs)
    return most


@pytest.mark.parametrize(
    ("weighs", "most"), [(1, AT_ONCE), (MOST_BYTES // 4, 4), (MOST_BYTES // 4 + 1, 3), (2 * MOST_BYTES, 1)]
)
def test_so_many_are_under_way_at_once(weighs: int, most: int) -> None:
    assert anyio.run(_most_at_once, 2 * AT_ONCE, weighs) == most


def test_no_further_one_is_begun_behind_one_that_failed() -> None:
    begun = []

    async def do(number: int) -> None:
        begun.append(number)
        await anyio.lowlevel.checkpoint()
        if number == 2:
            raise MeshError("no")

    async def main() -> None:
        with pytest.raises(MeshError):
            await for_each(_items(100), do, weight=lambda _: MOST_BYTES)

    anyio.run(main)
    assert begun == [0, 1, 2]
