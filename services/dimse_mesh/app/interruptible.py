"""Ctrl-C for operations that can be cancelled: the first asks the target to stop, the second doesn't wait for it."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio

from dimse_mesh.client import AssociationError

INTERRUPTED = 130
"""Exit code of what Ctrl-C has ended."""


class Interrupted(AssociationError):
    """Ctrl-C came again: the association is to be left as it is."""


class Interruption:
    """Whether Ctrl-C (or SIGTERM) came."""

    def __init__(self) -> None:
        self.came = False
        self.came_again = False


@asynccontextmanager
async def interruptible(cancel: Callable[[], Awaitable[None]]) -> AsyncIterator[Interruption]:
    """Call `cancel` at the first signal during the block, and leave the block at the second.

    Raises:
        Interrupted: the second came.
    """
    interruption = Interruption()

    async def watch() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            stands.set()
            async for _ in signals:
                if interruption.came:
                    interruption.came_again = True
                    tasks.cancel_scope.cancel()
                    return
                interruption.came = True
                with suppress(AssociationError):
                    await cancel()

    stands = anyio.Event()
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await stands.wait()
        try:
            yield interruption
        except Exception as error:  # noqa: BLE001 - raised below as it is, not within a group
            failure = error
        tasks.cancel_scope.cancel()
    if interruption.came_again:
        raise Interrupted("interrupted")
    if failure is not None:
        raise failure
