"""A queue in which nothing waits says so at any time, also while it looks again: the roll call may come just then."""

from __future__ import annotations

from random import Random
from typing import Any

import anyio

from dimse_mesh.delivery.outcomes import DeliveryCause, DeliveryOutcome, Scope
from dimse_mesh.mesh import Batch, pack
from dimse_mesh.runtime.settings_durable import DeliverySettings
from dimse_mesh.schemas.spool import QueuePause
from tests.unit.delivery.test_removed_when_settled import Book, Spool, queue_of
from tests.unit.delivery.test_roll_call import named
from tests.unit.endpoint.virtual_time import run

LOOK_INTERVAL = 0.2
READ_SECONDS = 0.1


class SlowSpool(Spool):
    """A spool that takes half as long to read as the queue rests."""

    def __init__(self) -> None:
        super().__init__(Random(0), Book(), fails=0)
        self.is_mixed = False
        self.reads = 0

    async def read(self, *asked: Any, **more: Any) -> Batch:
        self.reads += 1
        await anyio.sleep(READ_SECONDS)
        return await super().read(*asked, **more)


class WaitingTaker:
    """Takes an object when it is told to."""

    is_open = False

    def __init__(self) -> None:
        self.began, self.may_end = anyio.Event(), anyio.Event()

    async def deliver(self, *_: object, **__: object) -> DeliveryOutcome:
        self.began.set()
        await self.may_end.wait()
        return DeliveryOutcome(DeliveryCause.DELIVERED, scope=Scope.NOBODY)

    async def close(self) -> None: ...
    def abort(self) -> None: ...


def test_nothing_waits_while_it_is_looked_again_and_something_does_when_it_was_found() -> None:
    async def scenario() -> None:
        spool, taker = SlowSpool(), WaitingTaker()
        queue = queue_of(spool, taker, DeliverySettings(look_interval=LOOK_INTERVAL))
        later = named(1000)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.run)
            await anyio.sleep(10 * LOOK_INTERVAL)
            before = spool.reads
            for _ in range(1000):
                await anyio.sleep(READ_SECONDS / 10)
                assert queue.has_passed(later)
                assert queue.has_reached(later.sequence)
            assert spool.reads > before + 10
            queue.stored(spool.ingest())
            await taker.began.wait()
            assert not queue.has_passed(later)
            assert not queue.has_reached(later.sequence)
            taker.may_end.set()
            await anyio.sleep(10 * LOOK_INTERVAL)
            assert queue.has_passed(later)
            queue.set_pause(pack(QueuePause(paused=True)))
            await anyio.sleep(LOOK_INTERVAL)
            assert not queue.has_passed(later)
            queue.drain()

    run(scenario())
