"""Do the same to many objects of a spool, and wait for the disk and the line once for many of them, not for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import anyio

from dimse_mesh.mesh import MeshError

AT_ONCE = 128
"""Objects under way at once."""

T = TypeVar("T")


async def for_each(items: AsyncIterator[T], do: Callable[[T], Awaitable[None]]) -> None:
    """Call `do` with each item, with up to `AT_ONCE` of them at once; they begin in their order.

    Raises:
        MeshError: one of them failed, or the items can't be read. No further one was begun, and those that were under
            way have ended.
    """
    failures: list[MeshError] = []
    room = anyio.Semaphore(AT_ONCE)

    async def attempt(item: T) -> None:
        try:
            await do(item)
        except MeshError as error:
            failures.append(error)
        finally:
            room.release()

    async with anyio.create_task_group() as tasks:
        try:
            async for item in items:
                await room.acquire()
                if failures:
                    room.release()
                    break
                tasks.start_soon(attempt, item)
        except MeshError as error:
            failures.append(error)
    if failures:
        raise failures[0]
