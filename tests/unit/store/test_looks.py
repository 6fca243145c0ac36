"""How often the keeper looks: seldom where there is much to look through, however long that takes."""

from __future__ import annotations

import anyio
import pytest

from dimse_mesh.mesh import MeshTimeout
from dimse_mesh.store.keeper import BYTES_PER_SECOND, look_again_and_again

DEEP = 100 * BYTES_PER_SECOND
"""Weight of a look that puts the next one off longer than a test waits."""


@pytest.mark.anyio
@pytest.mark.parametrize("fails", [True, False])
async def test_a_look_that_takes_long_puts_none_off(fails: bool) -> None:
    """NATS is away in the middle of it, or the machine has other work."""
    looks, seen = 0, anyio.Event()

    async def look() -> int:
        nonlocal looks
        looks += 1
        if looks > 1:
            seen.set()
        await anyio.sleep(0.3)
        if fails:
            raise MeshTimeout("NATS is away")
        return 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look_again_and_again, look, 0.01)
        with anyio.fail_after(20):
            await seen.wait()
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_a_deep_queue_is_looked_at_seldom() -> None:
    looks = 0

    async def look() -> int:
        nonlocal looks
        looks += 1
        return DEEP

    with anyio.move_on_after(1.0):
        await look_again_and_again(look, 0.01)
    assert looks == 1
