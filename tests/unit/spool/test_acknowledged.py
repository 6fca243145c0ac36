"""Names of what was acknowledged: few messages, none too large, all of them written in the end, and twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import anyio
import pytest

from dimse_mesh.mesh import JetStream, MeshTimeout, NotPermitted, unpack
from dimse_mesh.mesh.envelope import MAX_HEAD
from dimse_mesh.schemas.acknowledged import AcknowledgedObjects
from dimse_mesh.schemas.spool import Manifest
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects
from dimse_mesh.spool import naming
from dimse_mesh.spool.acknowledged import BLOCK, INTERVAL, MOST_WAITING
from tests.support.spooled import manifest
from tests.unit.endpoint.virtual_time import run

SPOOL = SpoolSubjects("R", "z", DestinationKind.AE, "ARCHIVE")
OTHER = SpoolSubjects("R", "z", DestinationKind.AE, "RESEARCH")
OBJECT = manifest(command_length=6)


class Stored:
    """Takes messages, or doesn't."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.ids: list[str] = []
        self.failure: Exception | None = None
        self.came_back: Callable[[], None] = lambda: None

    def on_return(self, callback: Callable[[], None]) -> None:
        self.came_back = callback

    async def publish(self, subject: str, payload: bytes, *, message_id: str) -> int:
        await anyio.sleep(0.001)
        if self.failure is not None:
            raise self.failure
        self.messages.append((subject, payload))
        self.ids.append(message_id)
        return len(self.messages)

    def sequences(self, spool: SpoolSubjects = SPOOL) -> list[int]:
        """Return the sequence numbers of the objects whose names are written."""
        prefix = spool.acknowledged("*")[:-1]
        return [
            name.sequence
            for subject, payload in self.messages
            if subject.startswith(prefix)
            for name in unpack(AcknowledgedObjects, payload)[0].names
        ]


def of(number: int, **changes: object) -> Manifest:
    return OBJECT.model_copy(update={"object_id": f"{number:032x}", **changes})


def test_what_comes_together_is_one_message_for_each_spool() -> None:
    async def main() -> Stored:
        stored = Stored()
        async with naming(cast(JetStream, stored), max_payload=1 << 20, receipts_kept=600.0) as names:
            for number in range(1, 101):
                names.note(SPOOL, of(number), number)
                names.note(OTHER, of(number), number)
            await anyio.sleep(2 * INTERVAL)
            assert len(stored.messages) == 2
        return stored

    stored = run(main())
    assert stored.sequences() == stored.sequences(OTHER) == list(range(1, 101))


def test_many_are_written_at_once_and_the_rest_at_the_end() -> None:
    async def main() -> Stored:
        stored = Stored()
        async with naming(cast(JetStream, stored), max_payload=1 << 20, receipts_kept=600.0) as names:
            for number in range(1, 601):
                names.note(SPOOL, of(number), number)
            await anyio.sleep(INTERVAL / 10)
            assert stored.sequences() == list(range(1, 513))
        return stored

    assert run(main()).sequences() == list(range(1, 601))


def test_no_message_is_too_large_whatever_clients_write() -> None:
    ugly = {"sop_instance": "\1" * 64, "sop_class": "\1" * 64, "study_instance_uid": "\1" * 64}

    async def main() -> Stored:
        stored = Stored()
        async with naming(cast(JetStream, stored), max_payload=1 << 20, receipts_kept=600.0) as names:
            for number in range(1, 301):
                names.note(SPOOL, of(number, **ugly), number)
        return stored

    stored = run(main())
    assert stored.sequences() == list(range(1, 301))
    assert max(len(payload) for _, payload in stored.messages) <= MAX_HEAD


def test_names_are_written_once_more_when_a_file_of_the_store_is_full() -> None:
    async def main() -> Stored:
        stored = Stored()
        async with naming(cast(JetStream, stored), max_payload=1 << 20, receipts_kept=600.0) as names:
            for number in range(1, 21):
                names.note(SPOOL, of(number, size=BLOCK // 4), number)
                await anyio.sleep(2 * INTERVAL)
        return stored

    written = run(main()).sequences()
    assert [each for each in range(1, 21) if written.count(each) == 2] == list(range(1, 17))
    assert len(written) == 36


def test_what_cant_be_written_is_written_later_and_never_without_bound(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> Stored:
        stored = Stored()
        stored.failure = MeshTimeout("no acknowledgement")
        async with naming(cast(JetStream, stored), max_payload=1 << 20, receipts_kept=600.0) as names:
            for number in range(1, MOST_WAITING + 100):
                names.note(SPOOL, of(number), number)
            await anyio.sleep(5)
            assert not stored.messages
            stored.failure = None
            await anyio.sleep(30)
            return stored

    assert run(main()).sequences() == list(range(1, MOST_WAITING + 1))
    assert caplog.text.count("objects without names") == 1


def test_a_user_without_the_permission_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        stored = Stored()
        stored.failure = NotPermitted("no")
        async with naming(cast(JetStream, stored), max_payload=1 << 20, receipts_kept=600.0) as names:
            for number in range(1, 10):
                names.note(SPOOL, of(number), number)
                await anyio.sleep(5)

    run(main())
    assert caplog.text.count("write the server's configuration anew") == 1


def test_what_stands_in_one_file_is_written_again_when_nats_server_comes_back() -> None:
    async def main() -> Stored:
        stored = Stored()
        async with naming(cast(JetStream, stored), max_payload=1 << 20, receipts_kept=600.0) as names:
            for number in range(1, 7):
                names.note(SPOOL, of(number, size=BLOCK // 2), number)
                await anyio.sleep(2 * INTERVAL)
            stored.messages.clear()
            stored.came_back()
            await anyio.sleep(5)
        return stored

    stored = run(main())
    assert sorted(stored.sequences()) == [5, 6]
    assert len(set(stored.ids)) == len(stored.ids)
