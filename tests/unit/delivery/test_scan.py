"""What is read ahead of its delivery: as much as there is room for, at any moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from dimse_mesh.delivery import scan
from dimse_mesh.delivery.scan import AheadObject, ObjectScan
from dimse_mesh.delivery.share import QueueShare
from dimse_mesh.mesh import JetStream
from dimse_mesh.runtime.settings_durable import DeliverySettings
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects
from tests.support.spooled import stored_manifest
from tests.support.stream import StreamInMemory

MIB = 1 << 20
SETTINGS = DeliverySettings(read_ahead=4 * MIB, max_ahead=10)


class Stored:
    """A spool with ten objects of one MiB; tells which data sets were asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def was_away_since(self, _: float) -> bool:
        return False

    async def read(self, *_: object, first: int, **__: object) -> Any:
        await anyio.lowlevel.checkpoint()
        messages = [SimpleNamespace(sequence=n, subject="s") for n in range(first, 11)]
        return SimpleNamespace(messages=messages, pending=0)

    def parse(self, message: Any) -> Any:
        manifest = SimpleNamespace(size=MIB - 1, chunks=2, study="")
        return SimpleNamespace(sequence=message.sequence, manifest=manifest, message=b"M")

    async def data_set(
        self, _: object, __: object, spooled: Any, *, encryption: None
    ) -> AsyncIterator[bytes]:
        assert encryption is None
        self.asked.append(spooled.sequence)
        yield b"data"


async def _take(stored: Stored) -> list[list[int]]:
    seen = []
    async with anyio.create_task_group() as tasks:
        ahead = ObjectScan(
            cast(JetStream, stored),
            cast(SpoolSubjects, SimpleNamespace(stream="S")),
            SETTINGS,
            tasks,
            subject="s",
            share=QueueShare(),
        )
        for _ in range(3):
            item = await ahead.next()
            assert isinstance(item, AheadObject)
            await anyio.wait_all_tasks_blocked()
            seen.append(list(stored.asked))
    return seen


def test_the_next_data_set_is_read_as_soon_as_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Stored()
    monkeypatch.setattr(scan, "parse_object", stored.parse)
    monkeypatch.setattr(scan, "read_data_set", stored.data_set)
    monkeypatch.setattr(scan, "Unreadable", type("Never", (), {}))
    assert anyio.run(_take, stored) == [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7]]


def test_an_object_of_one_message_weighs_what_its_message_has() -> None:
    def weight(size: int, chunks: int, message: bytes) -> int:
        spooled = SimpleNamespace(
            manifest=SimpleNamespace(size=size, chunks=chunks), message=message, sequence=1
        )
        return AheadObject(cast(JetStream, None), cast(SpoolSubjects, None), spooled, asked=0.0).weight  # type: ignore[arg-type]

    assert weight(500, 0, b"M" * 600) == 600
    assert weight(MIB, 2, b"M" * 100) == MIB + 100
    assert weight(5 * MIB, 6, b"M" * 100) == 100


@pytest.mark.parametrize("was_away", [False, True])
def test_what_stands_between_two_reads_is_unknown_when_nats_was_away(was_away: bool) -> None:
    stream = StreamInMemory(Random(0))
    spool = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, "ARCHIVE")

    def store(number: int) -> None:
        told = stored_manifest(object_id=f"{number:032x}", calling_ae="CT1", study="00")
        stream.store(spool.object(calling_ae="CT1", study="00"), told, f"{number:032x}")

    async def read() -> list[int | None]:
        found = []
        async with anyio.create_task_group() as tasks:
            jetstream = cast(JetStream, stream)
            ahead = ObjectScan(jetstream, spool, SETTINGS, tasks, subject=spool.object(), share=QueueShare())
            for number in (1, 2, 3):
                store(number)
                if was_away and number == 2:
                    stream.be_away()
                item = await ahead.next()
                assert isinstance(item, AheadObject)
                found.append(item.follows)
        return found

    assert anyio.run(read) == [None, None if was_away else 1, 2]
