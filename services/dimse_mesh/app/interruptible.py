"""Ctrl-C for operations that can be cancelled: the first asks the target to stop, the second doesn't wait for it."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio

from dimse_mesh.app.dicom_client import AssociationError

INTERRUPTED = 130
"""Exit code of what Ctrl-C has ended."""


class Interruption:
    """Whether Ctrl-C (or SIGTERM) came."""

    def __init__(self) -> None:
        self.came = False


@asynccontextmanager
async def interruptible(cancel: Callable[[], Awaitable[None]]) -> AsyncIterator[Interruption]:
    """Call `cancel` at the first signal during the block, and leave the block at the second."""
    interruption = Interruption()

    async def watch() -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            stands.set()
            async for _ in signals:
                if interruption.came:
                    tasks.cancel_scope.cancel()
                    return
                interruption.came = True
                with suppress(AssociationError):
                    await cancel()

    stands = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await stands.wait()
        yield interruption
        tasks.cancel_scope.cancel()
