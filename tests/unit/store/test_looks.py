"""How often the keeper looks: seldom where there is much to look through, however long that takes. And what it sees."""

from __future__ import annotations

from typing import cast

import anyio
import pytest

from dimse_mesh.mesh import Batch, JetStream, MeshTimeout
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects
from dimse_mesh.store.keeper import BYTES_PER_SECOND, Keeper, look_again_and_again

DEEP = 100 * BYTES_PER_SECOND
"""Weight of a look that puts the next one off longer than a test waits."""
FIRST, SECOND = (SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, name) for name in ("FIRST", "SECOND"))


@pytest.mark.anyio
async def test_a_look_that_takes_long_puts_none_off() -> None:
    """NATS is away in the middle of it, or the machine has other work."""
    looks, seen = 0, anyio.Event()

    async def look() -> int:
        nonlocal looks
        looks += 1
        if looks > 1:
            seen.set()
        await anyio.sleep(0.3)
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


class OneUnseen:
    """JetStream with pieces of a broken object in each spool, the first of which can't be seen."""

    def __init__(self) -> None:
        self.purged: list[str] = []

    async def counts(self, stream: str, subject: str) -> dict[str, int]:
        if stream == FIRST.stream:
            raise MeshTimeout("it has no leader")
        return {SECOND.chunk("1f"): 3} if subject == SECOND.chunk("*") else {}

    async def read(self, *_: object, **__: object) -> Batch:
        return Batch((), 0)

    async def purge(self, _: str, subject: str) -> int:
        self.purged.append(subject)
        return 3


@pytest.mark.anyio
async def test_a_spool_that_cannot_be_seen_holds_up_no_others() -> None:
    jetstream = OneUnseen()
    keeper = Keeper(cast(JetStream, jetstream), (FIRST, SECOND), (), names_age=60.0)
    await keeper.sweep()
    assert jetstream.purged == []
    await keeper.sweep()
    assert jetstream.purged == [SECOND.chunk("1f"), SECOND.reference("1f")]
