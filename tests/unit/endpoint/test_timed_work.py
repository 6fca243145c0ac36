"""What a task takes of the event loop is counted, what it waits for isn't; and it is awaited as if nobody counted."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from dimse_mesh.endpoint import timed_work
from dimse_mesh.endpoint.timed_work import TimedWork
from tests.support.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timed_work, "perf_counter", clock)
    return clock


def test_each_step_is_counted_and_the_result_returned(clock: Clock) -> None:
    took: list[float] = []

    async def work() -> str:
        clock.now += 1
        await asyncio.sleep(0)
        clock.now += 2
        return "done"

    async def main() -> str:
        async def others() -> None:
            clock.now += 100

        other = asyncio.create_task(others())
        result = await TimedWork(work(), took.append)
        await other
        return result

    assert asyncio.run(main()) == "done"
    assert took == [1, 2]


def test_an_error_is_counted_and_raised(clock: Clock) -> None:
    took: list[float] = []

    async def work() -> None:
        await asyncio.sleep(0)
        clock.now += 3
        raise ValueError("no")

    async def main() -> None:
        await TimedWork(work(), took.append)

    with pytest.raises(ValueError, match="no"):
        asyncio.run(main())
    assert took == [0, 3]


def test_a_cancelled_scope_ends_the_work_as_any_other() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cleaned up")

    async def main() -> None:
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().call_soon(scope.cancel)
            await TimedWork(work(), lambda _: None)
            ended.append("went on")
        ended.append("left")

    asyncio.run(main())
    assert ended == ["cleaned up", "left"]


def test_work_may_wait_again_and_go_on_after_an_error_was_thrown_into_it() -> None:
    async def work() -> str:
        with anyio.move_on_after(0):
            await anyio.sleep_forever()
        await asyncio.sleep(0)
        return "went on"

    async def main() -> str:
        return await TimedWork(work(), lambda _: None)

    assert asyncio.run(main()) == "went on"
