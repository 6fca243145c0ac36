"""What is looked at before settled objects leave a spool together, and what follows when it isn't as it was."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import cast

import anyio
import pytest

from dimse_mesh.delivery import removal as removal_module
from dimse_mesh.delivery.removal import Removal
from dimse_mesh.delivery.scan import AheadObject
from dimse_mesh.mesh import JetStream, MeshTimeout
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects
from dimse_mesh.spool import parse_object
from tests.support.spooled import stored_manifest
from tests.support.stream import StreamInMemory

SPOOL = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, "ARCHIVE")
SUBJECT = "DIMSE.spool.hospital.ae.ARCHIVE.object.CT1.00.medium"
OTHER_STUDY = "DIMSE.spool.hospital.ae.ARCHIVE.object.CT1.11.medium"


class Case:
    """A stream, and a removal of what was read from it."""

    def __init__(self) -> None:
        self.stream = StreamInMemory(Random(0))
        self.stream.deadline = 60.0
        self.requests: list[str] = []
        self.stream.on_request = self.requests.append

    def store(self, count: int, *, subject: str = SUBJECT, prefix: str = "a") -> None:
        """Store objects."""
        for number in range(count):
            name = f"{prefix}{number}"
            self.stream.store(subject, stored_manifest(), name)

    def items(self) -> list[AheadObject]:
        """Read all objects, as a scan does."""
        newest: dict[str, int] = {}
        found = []
        for sequence, message in self.stream.messages.items():
            spooled = parse_object(message)
            follows = newest.get(message.subject)
            newest[message.subject] = sequence
            item = SimpleNamespace(spooled=spooled, asked=0.0, follows=follows)
            found.append(cast(AheadObject, item))
        return found

    def remove(self, *, all_but: tuple[int, ...] = (), meanwhile: Callable[[], None] = lambda: None) -> None:
        """Remove what was read.

        Args:
            all_but: numbers of what isn't settled.
            meanwhile: happens behind the deliveries.
        """

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                removal = Removal(cast(JetStream, self.stream), SPOOL, tasks)
                settled = [item for item in self.items() if item.spooled.sequence not in all_but]
                leaving = [removal.enter(item) for item in settled]
                meanwhile()
                for each in leaving:
                    tasks.start_soon(removal.remove, each)

        anyio.run(main)

    def make_anew(self) -> None:
        """Make the stream anew, with objects that nobody has delivered."""
        self.stream.messages.clear()
        self.stream.last_sequence = 0
        self.store(8, prefix="new")

    @property
    def names(self) -> list[str]:
        """What stands in the stream."""
        return [message.message_id for message in self.stream.messages.values()]

    def asked(self, verb: str) -> int:
        """Return how often something was asked for."""
        return sum(verb in each for each in self.requests)


def test_objects_of_one_subject_go_by_one_purge() -> None:
    case = Case()
    case.store(6)
    case.remove()
    assert case.names == []
    assert case.stream.purged == [6]
    assert case.asked("DELETE") == 0


def test_enough_objects_go_without_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal_module, "REST", 1e12)
    monkeypatch.setattr(removal_module, "LONGEST_REST", 1e12)
    monkeypatch.setattr(removal_module, "ENOUGH", 4)
    case = Case()
    case.store(9)

    async def main() -> None:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                removal = Removal(cast(JetStream, case.stream), SPOOL, tasks)
                leaving = [removal.enter(item) for item in case.items()]
                for begin, end in ((0, 1), (1, 5), (5, 9)):
                    async with anyio.create_task_group() as some:
                        for each in leaving[begin:end]:
                            some.start_soon(removal.remove, each)
                tasks.cancel_scope.cancel()

    anyio.run(main)
    assert case.stream.purged == [4, 4]


def test_each_subject_has_its_own_purge() -> None:
    case = Case()
    for number in range(4):
        case.store(1, prefix=f"a{number}")
        case.store(1, prefix=f"b{number}", subject=OTHER_STUDY)
    case.remove()
    assert case.names == []
    assert case.stream.purged == [4, 4]


def test_a_few_go_one_by_one() -> None:
    case = Case()
    case.store(2)
    case.remove()
    assert case.names == []
    assert case.stream.purged == []


def test_what_stands_before_them_keeps_them_from_going_together() -> None:
    case = Case()
    case.store(6)
    case.remove(all_but=(1,))
    assert case.names == ["a0"]
    assert case.stream.purged == []


def test_what_stands_between_them_stays() -> None:
    case = Case()
    case.store(9)
    case.remove(all_but=(5,))
    assert case.names == ["a4"]
    assert case.stream.purged == [4]


def test_an_object_whose_receipt_is_not_stored_yet_keeps_those_behind_it_from_going_together() -> None:
    case = Case()
    case.store(8)

    before: list[str] = []

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            removal = Removal(cast(JetStream, case.stream), SPOOL, tasks)
            leaving = [removal.enter(item) for item in case.items()]
            async with anyio.create_task_group() as first:
                for each in (*leaving[:4], *leaving[5:]):
                    first.start_soon(removal.remove, each)
            before.extend(case.names)
            await removal.remove(leaving[4])

    anyio.run(main)
    assert before == ["a4"]
    assert case.names == []
    assert case.stream.purged == [4]


def test_a_stream_made_anew_keeps_what_has_got_the_numbers() -> None:
    case = Case()
    case.store(6)
    case.remove(meanwhile=case.make_anew)
    assert len(case.names) == 8
    assert case.stream.purged == []
    assert case.asked("DELETE") == 0


@pytest.mark.parametrize("is_done", [False, True])
def test_a_purge_without_an_answer_is_not_tried_again(is_done: bool) -> None:
    """The stream may be another one by then."""
    case = Case()
    case.store(6)

    def interrupt(verb: str) -> None:
        case.requests.append(verb)
        if "PURGE" in verb:
            if is_done:
                case.stream.messages.clear()
            else:
                case.make_anew()
            raise MeshTimeout("no answer came")

    case.stream.on_request = interrupt
    case.remove()
    assert len(case.names) == (0 if is_done else 8)
    assert case.asked("PURGE") == 1
    assert case.asked("DELETE") == 0


def test_a_purge_that_did_not_arrive_is_made_up_for_one_by_one() -> None:
    case = Case()
    case.store(6)

    def interrupt(verb: str) -> None:
        if "PURGE" in verb:
            raise MeshTimeout("it came to nothing")

    case.stream.on_request = interrupt
    case.remove()
    assert case.names == []
    assert case.stream.deleted == 6


def test_where_nats_was_away_since_they_were_read_each_is_looked_at() -> None:
    case = Case()
    case.store(6)

    def lose() -> None:
        case.stream.lose_behind(3)
        case.store(6, prefix="new")

    case.remove(meanwhile=lose)
    assert case.names == [f"new{number}" for number in range(6)]
    assert case.stream.purged == []
