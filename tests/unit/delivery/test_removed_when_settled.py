"""Whatever becomes of a queue's objects, none leaves the spool before it is settled, alone or in a batch with others.

The queue is the real one. The stream is in memory, answers slowly, and checks each removal; the destination takes,
refuses and fails at random. Objects are stored while others are delivered.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

import anyio
import pytest

from dimse_mesh.client import Context
from dimse_mesh.delivery import overlap, removal, settling
from dimse_mesh.delivery.delivery_events import DeliveryEvents
from dimse_mesh.delivery.outcomes import DeliveryCause, DeliveryOutcome, Scope
from dimse_mesh.delivery.overlap import StoredNotice
from dimse_mesh.delivery.pace import Pace
from dimse_mesh.delivery.queue import DestinationQueue
from dimse_mesh.delivery.report import Attempt, ShareReport
from dimse_mesh.delivery.settled import SettledObjects
from dimse_mesh.delivery.share import QueueShare
from dimse_mesh.delivery.shared_reads import SharedReads
from dimse_mesh.delivery.taker import Taker
from dimse_mesh.mesh import JetStream, MeshTimeout, StoredMessage
from dimse_mesh.runtime.settings_durable import DeliverySettings
from dimse_mesh.runtime.settings_retry import RetrySettings
from dimse_mesh.schemas.spool_subjects import DestinationKind, RoutePriority, SpoolSubjects
from dimse_mesh.spool import SpooledObject
from tests.support.spooled import stored_manifest
from tests.support.stream import StreamInMemory

SPOOL = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, "ARCHIVE")
SETTINGS = DeliverySettings(
    retry=RetrySettings(first=0.001, longest=0.002, attempts=0), look_interval=0.01, max_ahead=16
)
OBJECTS = 60
PATIENCE = 60.0
UNREADABLE = "unreadable"
FAILURES = {Scope.DEAD_LETTER: 50, Scope.STUDY: 40, Scope.CALLING_AE: 30, Scope.DESTINATION: 30}
"""Of a thousand attempts."""


class QuietReport:
    """Tells nobody."""

    @contextlib.contextmanager
    def attempt(self, *_: object) -> Iterator[Attempt]:
        yield Attempt()

    def attempted(self, *_: object) -> None: ...
    def delivers(self) -> None: ...
    def buried(self) -> None: ...
    def idle(self) -> None: ...
    def waits(self, *_: object) -> None: ...


class QuietEvents:
    """Tells nobody."""

    async def delivered(self, *_: object) -> None: ...
    async def failed(self, *_: object) -> None: ...


@dataclass(slots=True)
class Book:
    """What has become of the objects, by the ids of their messages, and what has left the spool without."""

    taken: dict[str, SpooledObject] = field(default_factory=dict)
    letters: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)

    def check(self, message: StoredMessage) -> None:
        """Note that a message leaves the spool."""
        self.removed.add(message.message_id)
        if message.message_id not in self.taken and message.message_id not in self.letters:
            self.lost.append(message.message_id)

    @property
    def out_of_order(self) -> list[str]:
        """Objects that were taken before an older one of their subject."""
        newest: defaultdict[str, int] = defaultdict(int)
        found = []
        for name, spooled in self.taken.items():
            if spooled.sequence < newest[spooled.subject]:
                found.append(name)
            newest[spooled.subject] = max(newest[spooled.subject], spooled.sequence)
        return found


class Spool(StreamInMemory):
    """The stream of a spool, which knows its dead letters."""

    def __init__(self, random: Random, book: Book, *, fails: int) -> None:
        super().__init__(random, on_removal=book.check, fails=fails)
        self.random = random
        self.book = book
        self.stored: list[str] = []
        self.changed = anyio.Event()
        """Is set, and replaced, when something is gone."""
        self.is_mixed = True
        """Whether several modalities store several studies by routes of several priorities."""

    def _remove(self, number: int) -> None:
        super()._remove(number)
        self._change()

    def lose_behind(self, sequence: int) -> None:
        super().lose_behind(sequence)
        self._change()

    def _change(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()

    async def publish(self, subject: str, payload: bytes, tail: bytes = b"", **more: Any) -> int:
        """Store a dead letter, or a receipt, when some time has passed."""
        if ".failed." in subject:
            await anyio.sleep(self.random.random() * 0.01)
            self.book.letters.add(more["message_id"].partition(".failed.")[0])
        return await super().publish(subject, payload, tail, **more)

    @property
    def waits(self) -> bool:
        """Whether something waits that can be read."""
        waiting = (each for each in self.messages.values() if ".object." in each.subject)
        return any(each.message_id != UNREADABLE for each in waiting)

    def ingest(self) -> StoredNotice:
        """Store an object, or something that nobody can read; return what is heard of it, which is wrong at times."""
        random, name = self.random, f"{len(self.stored):032x}"
        calling, study = random.choice(("CT1", "CT1", "MR1")), random.choice(("00", "11", "22"))
        priority = random.choice((*RoutePriority, *3 * [RoutePriority.MEDIUM]))
        if not self.is_mixed:
            calling, study, priority = "CT1", "00", RoutePriority.MEDIUM
        subject = SPOOL.object(calling_ae=calling, study=study, priority=priority)
        if self.is_mixed and not random.randrange(30):
            sequence = self.store(subject, b"of another major version", UNREADABLE)
            return self._notice(subject, sequence)
        told = stored_manifest(object_id=name, calling_ae=calling, study=study, priority=priority)
        sequence = self.store(subject, told, name)
        self.stored.append(name)
        return self._notice(subject, sequence)

    def _notice(self, subject: str, sequence: int) -> StoredNotice:
        fate = self.random.randrange(100)
        if not fate:
            return StoredNotice()
        told = sequence + self.random.randrange(-3, 4) if fate == 1 else sequence
        return StoredNotice.of({"Nats-Subject": subject, "Nats-Sequence": str(told), "Nats-Msg-Size": "1000"})


class FickleTaker:
    """Takes most objects, refuses some, and is away now and then."""

    is_open = False

    def __init__(self, random: Random, book: Book, failures: Mapping[Scope, int]) -> None:
        self._random = random
        self._book = book
        self._failures = failures

    async def deliver(
        self,
        spooled: SpooledObject,
        data_set: AsyncIterator[bytes | memoryview],
        *,
        attempts: int,
        ahead: Iterable[Context],
    ) -> DeliveryOutcome:
        del data_set, attempts, ahead
        await anyio.lowlevel.checkpoint()
        fate = self._random.randrange(1000)
        if fate < 20 and self._failures:
            raise MeshTimeout("the data set can't be read")
        fate -= 20
        for scope, share in self._failures.items():
            if 0 <= fate < share:
                return DeliveryOutcome(DeliveryCause.FAILURE, scope=scope)
            fate -= share
        self._book.taken.setdefault(spooled.manifest.object_id, spooled)
        return DeliveryOutcome(DeliveryCause.DELIVERED)

    async def close(self) -> None: ...
    def abort(self) -> None: ...


@pytest.fixture(autouse=True, params=["nearby", "over a long line"])
def _place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (removal, settling):
        monkeypatch.setattr(module, "PAUSE", 0.001)
    if request.param == "over a long line":
        monkeypatch.setattr(overlap, "LONG", 0.0)
        monkeypatch.setattr(StreamInMemory, "lag", 20)


def queue_of(spool: Spool, taker: Taker, settings: DeliverySettings) -> DestinationQueue:
    """Return the queue of a spool, of which nobody is told."""
    return DestinationQueue(
        cast(JetStream, spool),
        SPOOL,
        taker,
        settings,
        cast(ShareReport, QuietReport()),
        share=QueueShare(),
        pace=Pace(None),
        events=cast(DeliveryEvents, QuietEvents()),
        settled=SettledObjects(),
        reads=SharedReads(cast(JetStream, spool), SPOOL.stream, shares=1, most_bytes=1 << 20),
    )


async def deliver_all(
    spool: Spool,
    failures: Mapping[Scope, int],
    *,
    meanwhile: Callable[[int], None] = lambda _: None,
) -> None:
    """Store objects while the queue delivers them; return when nothing that can be read is left.

    Args:
        meanwhile: is called after each object that was stored, with its number.
    """
    queue = queue_of(spool, FickleTaker(spool.random, spool.book, failures), SETTINGS)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.run)
            for number in range(OBJECTS):
                queue.stored(spool.ingest())
                meanwhile(number)
                for _ in range(spool.random.choice((0, 0, 0, 1, 20))):
                    await anyio.lowlevel.checkpoint()
            while spool.waits:
                await spool.changed.wait()
            queue.drain()


@pytest.mark.parametrize("seed", range(25))
def test_nothing_leaves_the_spool_before_it_is_settled(seed: int) -> None:
    spool = Spool(Random(seed), Book(), fails=0)
    anyio.run(lambda: deliver_all(spool, FAILURES))
    assert spool.book.lost == []
    assert spool.book.removed == set(spool.stored)


@pytest.mark.parametrize("seed", range(5))
def test_an_object_stays_while_its_dead_letter_is_being_stored(seed: int) -> None:
    spool = Spool(Random(seed), Book(), fails=0)
    spool.is_mixed = False
    anyio.run(lambda: deliver_all(spool, {Scope.DEAD_LETTER: 200}))
    assert spool.book.lost == []
    assert spool.book.removed == set(spool.stored)


@pytest.mark.parametrize("seed", range(25))
def test_requests_that_come_to_nothing_or_stay_unanswered_remove_nothing_else(seed: int) -> None:
    spool = Spool(Random(seed), Book(), fails=100)
    anyio.run(lambda: deliver_all(spool, FAILURES))
    assert spool.book.lost == []
    assert spool.book.removed == set(spool.stored)


@pytest.mark.parametrize("often", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_other_objects_that_have_got_the_same_numbers_stay(seed: int, often: bool) -> None:
    """As when the power fails where not every write is synced: a part of what was delivered is gone, too."""
    spool = Spool(Random(seed), Book(), fails=0)

    def lose(number: int) -> None:
        is_due = not spool.random.randrange(3) if often else number % 15 == 14
        if is_due:
            spool.lose_behind(max(0, spool.last_sequence - spool.random.randrange(12)))

    anyio.run(lambda: deliver_all(spool, {}, meanwhile=lose))
    assert spool.book.lost == []


@pytest.mark.parametrize("seed", range(10))
def test_a_study_is_delivered_in_order_whatever_is_tried_again(seed: int) -> None:
    spool = Spool(Random(seed), Book(), fails=0)
    failures: dict[Scope, int] = {
        scope: share for scope, share in FAILURES.items() if scope is not Scope.CALLING_AE
    }
    anyio.run(lambda: deliver_all(spool, failures))
    assert spool.book.out_of_order == []


def test_a_queue_that_is_delivered_as_it_comes_is_removed_in_batches() -> None:
    spool = Spool(Random(0), Book(), fails=0)
    spool.is_mixed = False
    anyio.run(lambda: deliver_all(spool, {}))
    assert sum(spool.purged) > len(spool.stored) // 2, (spool.purged, spool.deleted)
    assert spool.book.lost == []
    assert spool.book.removed == set(spool.stored)


@pytest.mark.parametrize(
    "why", ["a copy may have passed over what is damaged there", "it would be read through from the disk"]
)
def test_where_a_batch_is_no_good_objects_go_one_by_one(why: str) -> None:
    spool = Spool(Random(0), Book(), fails=0)
    spool.is_mixed = False
    if why.startswith("a copy"):
        spool.replicas = 3
    else:
        spool.size = removal.SHALLOW + 1
    anyio.run(lambda: deliver_all(spool, {}))
    assert spool.purged == []
    assert spool.book.removed == set(spool.stored)
