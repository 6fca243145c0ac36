"""Take settled objects out of a spool in batches: a removal is a write that nats-server syncs, beside the ingest.

Settled objects gather while the former ones are being removed, and four times as long again: so removals take a fifth
of the time at most. One alone goes at once. Those of one subject go by one purge up to the newest of them, if nothing
else stands below it (ADR 31). The others, and whatever is in doubt, go one by one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import anyio
from anyio.abc import TaskGroup

from dimse_mesh.delivery.scan import AheadObject
from dimse_mesh.mesh import JetStream, MeshError, message_of, purge_up_to, remove_message
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.spool import SpooledObject

log = logging.getLogger(__name__)

FEWEST = 3
"""Objects that are purged; fewer are removed one by one: a purge needs looks before it."""
SHALLOW = 256 << 20
"""Bytes of a spool in which is purged: nats-server may look through all blocks that have the subject (ADR 31)."""
REST = 4
"""How many times as long as a batch has taken the next one gathers."""
LONGEST_REST = 0.25
ENOUGH = 64
"""Objects that have gathered, and go without a rest."""
MOST_RUNS = 1024
"""Subjects of which the newest run is remembered, at most; and those of which objects are on their way out."""
PAUSE = 1.0


@dataclass(eq=False, slots=True)
class Leaving:
    """A settled object on its way out.

    Attributes:
        read: when it was asked for, in seconds of the event loop.
        may_go: its receipt, or its dead letter, is stored.
    """

    spooled: SpooledObject
    read: float
    run: SettledRun
    may_go: bool = False
    gone: anyio.Event = field(default_factory=anyio.Event)


class SettledRun:
    """Settled objects of one subject between which nothing else of that subject stands, in their order."""

    def __init__(self) -> None:
        self.members: deque[Leaving] = deque()
        self.newest = 0

    def add(self, spooled: SpooledObject, read: float) -> Leaving:
        """Put an object at the end."""
        leaving = Leaving(spooled, read, self)
        self.members.append(leaving)
        self.newest = spooled.sequence
        return leaving

    def ready(self) -> list[Leaving]:
        """Return those that may go, up to the first that may not: its receipt, or dead letter, isn't stored yet."""
        return list(takewhile(lambda leaving: leaving.may_go, self.members))


@dataclass(slots=True)
class StreamSeen:
    """What was seen of a stream before something is removed."""

    is_trusted: bool = True
    """What stands at the numbers is what was read there."""
    may_purge: bool = False
    first: set[SettledRun] = field(default_factory=set)
    """Runs before which nothing stands on their subjects."""


class Removal:
    """Removes the settled objects of one share of a queue."""

    def __init__(self, jetstream: JetStream, spool: SpoolSubjects, tasks: TaskGroup) -> None:
        self._jetstream = jetstream
        self._spool = spool
        self._tasks = tasks
        self._runs: dict[str, SettledRun] = {}
        """The newest run of a subject."""
        self._ready: list[Leaving] = []
        self._enough = anyio.Event()
        self._is_busy = False
        self._created = ""
        """When the stream was made, as nats-server said it last."""

    def enter(self, item: AheadObject) -> Leaving:
        """Note an object that is settled: each when it is, so that what stands between two is known."""
        subject = item.spooled.subject
        if len(self._runs) > MOST_RUNS:
            self._runs = {name: run for name, run in self._runs.items() if run.members}
        run = self._runs.get(subject)
        if run is None or item.follows != run.newest:
            run = self._runs[subject] = SettledRun()
        return run.add(item.spooled.without_data(), item.asked)

    async def remove(self, leaving: Leaving) -> None:
        """Remove an object, however long NATS is away; return when it is gone."""
        leaving.may_go = True
        self._ready.append(leaving)
        if len(self._ready) >= ENOUGH:
            self._enough.set()
        if not self._is_busy:
            self._is_busy = True
            self._tasks.start_soon(self._work)
        await leaving.gone.wait()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._ready:
                batch, self._ready, self._enough = self._ready, [], anyio.Event()
                begun = loop.time()
                await self._take_out(batch)
                with anyio.move_on_after(min(LONGEST_REST, REST * (loop.time() - begun))):
                    await self._enough.wait()
        finally:
            self._is_busy = False

    async def _take_out(self, batch: Sequence[Leaving]) -> None:
        """Remove objects; return when they are gone."""
        groups = [run.ready() for run in dict.fromkeys(leaving.run for leaving in batch)]
        groups = [group for group in groups if len(group) >= FEWEST]
        seen = await self._look(max(batch, key=lambda leaving: leaving.spooled.sequence), groups)
        rest = dict.fromkeys(batch)
        async with anyio.create_task_group() as tasks:
            for group in groups:
                if seen.may_purge and group[0].run in seen.first:
                    tasks.start_soon(self._purge, group)
                    for leaving in group:
                        rest.pop(leaving)
            for leaving in rest:
                tasks.start_soon(self._remove_one, leaving, leaving.read if seen.is_trusted else None)

    async def _look(self, newest: Leaving, groups: Iterable[Sequence[Leaving]]) -> StreamSeen:
        """See whether the stream is the one that was read, and which groups may be purged.

        Numbers only grow. So where the newest of the objects still stands, no other one has got the number of any that
        was read from the same stream.
        """
        seen, failure = StreamSeen(), None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._look_at_stream, seen)
                tasks.start_soon(self._look_at_newest, seen, newest.spooled)
                for group in groups:
                    tasks.start_soon(self._look_before, seen, group[0])
        except* MeshError as errors:
            failure = errors.exceptions[0]
        if failure is not None:
            log.warning("%s: settled objects can't be removed yet: %s", self._spool, failure)
            return StreamSeen(is_trusted=False)
        seen.may_purge &= seen.is_trusted
        return seen

    async def _look_at_stream(self, seen: StreamSeen) -> None:
        info = await self._jetstream.request(f"STREAM.INFO.{self._spool.stream}")
        created = str(info.get("created"))
        if self._created not in {"", created}:
            seen.is_trusted = False
        self._created = created
        # One that was read from a copy may have been passed over there, being damaged, and be whole in another one.
        seen.may_purge = info["config"].get("num_replicas") == 1 and info["state"]["bytes"] <= SHALLOW

    async def _look_at_newest(self, seen: StreamSeen, newest: SpooledObject) -> None:
        found = await message_of(self._jetstream, self._spool.stream, newest.sequence)
        if found is None or not newest.is_in(found):
            seen.is_trusted = False

    async def _look_before(self, seen: StreamSeen, oldest: Leaving) -> None:
        found = await message_of(self._jetstream, self._spool.stream, 1, oldest.spooled.subject)
        if found is not None and oldest.spooled.is_in(found):
            seen.first.add(oldest.run)

    async def _purge(self, group: Sequence[Leaving]) -> None:
        """Remove objects of a run, which nothing stands before."""
        newest = group[-1].spooled
        read = min(leaving.read for leaving in group)
        try:
            count = await purge_up_to(
                self._jetstream, self._spool.stream, newest.subject, newest.sequence, read=read
            )
        except MeshError as error:
            # It may be done, or not: whatever stands there is looked at.
            log.warning("%s: settled objects can't be removed yet: %s", self._spool, error)
            async with anyio.create_task_group() as tasks:
                for leaving in group:
                    tasks.start_soon(self._remove_one, leaving, None)
            return
        if count > len(group):
            log.error("%s: %d objects were removed, where %d were settled", self._spool, count, len(group))
        for leaving in group:
            _note_gone(leaving)

    async def _remove_one(self, leaving: Leaving, read: float | None) -> None:
        """Remove an object; `read`: when it was asked for; None: what stands at its number may be another one."""
        spooled = leaving.spooled
        while True:
            try:
                await remove_message(
                    self._jetstream,
                    self._spool.stream,
                    spooled.sequence,
                    is_it=spooled.is_in,
                    read=read,
                )
                break
            except MeshError as error:
                log.warning("%s: a settled object can't be removed yet: %s", self._spool, error)
            read = None
            await anyio.sleep(PAUSE)
        _note_gone(leaving)


def _note_gone(leaving: Leaving) -> None:
    leaving.run.members.remove(leaving)
    leaving.gone.set()
