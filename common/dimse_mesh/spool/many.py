"""Do the same to many objects of a spool, and wait for the disk and the line once for many of them, not for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import anyio

from dimse_mesh.mesh import MeshError

AT_ONCE = 128
"""Objects under way at once."""
MOST_BYTES = 16 << 20
"""Bytes of objects under way at once; a larger one goes alone."""

T = TypeVar("T")


async def for_each(
    items: AsyncIterator[T], do: Callable[[T], Awaitable[None]], *, weight: Callable[[T], int]
) -> None:
    """Call `do` with each item, with up to `AT_ONCE` of them at once; they begin in their order.

    Args:
        weight: bytes that an item takes until it is done.

    Raises:
        MeshError: one of them failed, or the items can't be read. No further one was begun, and those that were under
            way have ended.
    """
    failures: list[MeshError] = []
    under_way = size = 0
    ended = anyio.Event()

    async def attempt(item: T, weighs: int) -> None:
        nonlocal under_way, size, ended
        try:
            await do(item)
        except MeshError as error:
            failures.append(error)
        finally:
            under_way, size = under_way - 1, size - weighs
            ended.set()
            ended = anyio.Event()

    async with anyio.create_task_group() as tasks:
        try:
            async for item in items:
                weighs = weight(item)
                while under_way and (under_way >= AT_ONCE or size + weighs > MOST_BYTES):
                    await ended.wait()
                if failures:
                    break
                under_way, size = under_way + 1, size + weighs
                tasks.start_soon(attempt, item, weighs)
        except MeshError as error:
            failures.append(error)
    if failures:
        raise failures[0]
