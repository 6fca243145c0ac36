"""How often the keeper looks: seldom where a look takes long, and soon again after an outage."""

from __future__ import annotations

import anyio
import pytest

from dimse_mesh.mesh import MeshTimeout
from dimse_mesh.store.keeper import MOST_OF_THE_TIME, look_again_and_again

LONG = 0.3
"""Seconds that a look takes."""


def never(_: float) -> bool:
    return False


@pytest.mark.anyio
@pytest.mark.parametrize("fails", [True, False])
async def test_an_outage_in_the_middle_of_a_look_puts_none_off(fails: bool) -> None:
    looks, seen, away_at = 0, anyio.Event(), 0.0

    async def look() -> int:
        nonlocal looks, away_at
        looks += 1
        if looks == 1:
            away_at = anyio.current_time()
            await anyio.sleep(LONG)
            if fails:
                raise MeshTimeout("NATS is away")
            return 0
        seen.set()
        return 0

    async with anyio.create_task_group() as tasks:
        was_away_since = never if fails else lambda then: away_at >= then
        tasks.start_soon(look_again_and_again, look, 0.01, was_away_since)
        with anyio.fail_after(LONG / MOST_OF_THE_TIME / 2):
            await seen.wait()
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_a_deep_queue_is_looked_at_seldom() -> None:
    looks = 0

    async def look() -> int:
        nonlocal looks
        looks += 1
        await anyio.sleep(LONG)
        return 0

    with anyio.move_on_after(5 * LONG):
        await look_again_and_again(look, 0.01, never)
    assert looks == 1
