"""What several shares of a queue read is fetched once; nothing that came meanwhile is missed, and little is kept."""

from __future__ import annotations

from typing import cast

import anyio
import anyio.lowlevel
import pytest

from dimse_mesh.delivery.shared_reads import SharedReads
from dimse_mesh.mesh import Batch, JetStream, MeshTimeout, StoredMessage

SIZE = 1000


class Stored:
    """A stream that has messages 1 to `end`, three of which come at once."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.asked: list[int] = []
        self.is_away = False
        self.away_at = float("-inf")

    def was_away_since(self, then: float) -> bool:
        return self.away_at >= then

    async def read(self, stream: str, subject: str, *, first: int, count: int, max_bytes: int) -> Batch:
        assert (stream, subject, count, max_bytes) == ("S", "s", 10, 1 << 20)
        self.asked.append(first)
        await anyio.lowlevel.checkpoint()
        if self.is_away:
            raise MeshTimeout("NATS is away")
        last = min(first + 2, self.end)
        found = tuple(StoredMessage(n, "s", bytes(SIZE), str(n)) for n in range(first, last + 1))
        return Batch(found, self.end - last)


def reads_of(stored: Stored, *, shares: int = 3, most_bytes: int = 1 << 20) -> SharedReads:
    return SharedReads(cast(JetStream, stored), "S", shares=shares, most_bytes=most_bytes)


async def read(reads: SharedReads, first: int) -> list[int]:
    _, batch = await reads.read("s", first=first, count=10, max_bytes=1 << 20)
    return [message.sequence for message in batch.messages]


@pytest.mark.anyio
async def test_shares_that_ask_one_after_the_other_and_at_once() -> None:
    stored = Stored(9)
    reads = reads_of(stored)
    for first in (1, 4):
        for _ in range(3):
            assert await read(reads, first) == [first, first + 1, first + 2]
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(read, reads, 7)
    assert stored.asked == [1, 4, 7]
    assert await read(reads, 7) == [7, 8, 9]
    assert stored.asked == [1, 4, 7, 7], "all of them had it: nothing is kept"


@pytest.mark.anyio
async def test_what_comes_behind_is_found() -> None:
    stored = Stored(1)
    reads = reads_of(stored)
    assert await read(reads, 1) == [1]
    assert await read(reads, 2) == []
    stored.end = 2
    assert await read(reads, 1) == [1]
    assert await read(reads, 2) == [2], "that there was nothing isn't kept"


@pytest.mark.anyio
async def test_what_was_read_before_an_outage_is_not_trusted() -> None:
    stored = Stored(3)
    reads = reads_of(stored)
    await read(reads, 1)
    stored.away_at = anyio.current_time()
    assert await read(reads, 1) == [1, 2, 3]
    assert stored.asked == [1, 1]


@pytest.mark.anyio
async def test_a_failure_is_only_that_share_s_own() -> None:
    stored = Stored(3)
    reads = reads_of(stored)
    stored.is_away = True
    with pytest.raises(MeshTimeout):
        await read(reads, 1)
    stored.is_away = False
    assert await read(reads, 1) == [1, 2, 3]


@pytest.mark.anyio
async def test_a_share_that_is_cancelled_takes_nothing_from_the_others() -> None:
    stored = Stored(3)
    reads = reads_of(stored)
    found: list[list[int]] = []

    async def another() -> None:
        found.append(await read(reads, 1))

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            tasks.start_soon(another)
            scope.cancel()
            await read(reads, 1)
    assert found == [[1, 2, 3]]


@pytest.mark.anyio
async def test_no_more_is_kept_than_may_be() -> None:
    stored = Stored(9)
    reads = reads_of(stored, most_bytes=6 * SIZE)
    for first in (1, 4, 7):
        await read(reads, first)
    for first in (4, 7, 1):
        await read(reads, first)
    assert stored.asked == [1, 4, 7, 1]


@pytest.mark.anyio
async def test_a_queue_of_one_share_keeps_nothing() -> None:
    stored = Stored(3)
    reads = reads_of(stored, shares=1)
    for _ in range(2):
        assert await read(reads, 1) == [1, 2, 3]
    assert stored.asked == [1, 1]


@pytest.mark.anyio
async def test_what_was_asked_for_early_is_there_for_each_share_once() -> None:
    stored = Stored(6)
    reads = reads_of(stored, shares=2)
    async with anyio.create_task_group() as tasks:
        for first in (4, 1, 1):
            tasks.start_soon(reads.read_early, "s", first, 10, 1 << 20)
        await anyio.wait_all_tasks_blocked()
        assert [await read(reads, 1), await read(reads, 4)] == [[1, 2, 3], [4, 5, 6]]
    reads.give_up("s", 4)
    assert stored.asked == [4, 1]
    assert await read(reads, 1) == [1, 2, 3]
    assert stored.asked == [4, 1], "that share was second"
    assert await read(reads, 4) == [4, 5, 6]
    assert stored.asked == [4, 1, 4], "one has had it, and one has given it up"


@pytest.mark.anyio
async def test_what_can_t_be_had_early_is_read_when_its_turn_comes() -> None:
    stored = Stored(3)
    reads = reads_of(stored, shares=1)
    stored.is_away = True
    await reads.read_early("s", 1, 10, 1 << 20)
    reads.give_up("s", 1)
    stored.is_away = False
    assert await read(reads, 1) == [1, 2, 3]
