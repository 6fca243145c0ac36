"""The keeper of a zone's spools: makes them, and removes pieces of data sets that no manifest tells of.

A front-end whose client breaks off in the middle of an object tells the keepers so, and one of them removes its pieces.
A front-end that is killed leaves its pieces without a word; a delivery service that is killed between two removals,
too, and so does a nats-server that is killed, since it may bring removed messages back. Those are removed when two
looks, `spool.sweep_interval` apart, have found the same pieces without a manifest: an object that is still coming
grows.
"""

from __future__ import annotations

import logging
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from dimse_mesh.events import ensure_event_stream
from dimse_mesh.mesh import JetStream, JetStreamRefusal, MeshError, Message
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.spools import shares_of, spools_of
from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.schemas.spool_subjects import ANY_TOKEN, PROBE_OBJECT, Share, SpoolSubjects
from dimse_mesh.spool import SharedPieces, SpoolInspector, ensure_streams

log = logging.getLogger(__name__)

MOST_RELEASED = 100_000
"""Shared objects that keepers were told of and that wait to be looked at; further ones are found by looking."""
MOST_BROKEN = 1000
"""Objects that keepers were told of and that wait to be removed; further ones are found by looking."""
PROBE_SECONDS = 6.0
"""Seconds for a probe to be acknowledged; a stream that takes longer counts as frozen."""
BYTES_PER_SECOND = 2_500_000
"""Weight of looks that there may be in a second: a hundredth of what a slow machine reads. So looks at a deep queue are
rare."""


class Keeper:
    """Looks after the spools of a zone's durable routes, and what several destinations share.

    Args:
        names_age: seconds after which names go that nobody reads.
    """

    def __init__(
        self,
        jetstream: JetStream,
        spools: tuple[SpoolSubjects, ...],
        shares: tuple[Share, ...],
        *,
        names_age: float,
    ) -> None:
        self._names_age = names_age
        self._jetstream = jetstream
        self._spools: dict[SpoolSubjects, SpoolInspector | SharedPieces] = {
            spool: SpoolInspector(jetstream, spool) for spool in spools
        }
        self._shared = {share.spool: SharedPieces(jetstream, share) for share in shares}
        self._spools |= self._shared
        self._released: deque[tuple[SharedPieces, str]] = deque()
        self._suspects: dict[SpoolSubjects, dict[str, int]] = {}
        """Pieces without a manifest at the last look, by object id."""
        self._broken: deque[tuple[SpoolSubjects, str]] = deque()
        self._told = anyio.Event()
        self._suspect: set[SpoolSubjects] = set()
        """Spools into which a front-end couldn't store an object, and nothing was stored since."""
        self._frozen: set[SpoolSubjects] = set()

    def broken(self, spool: SpoolSubjects, object_id: str) -> None:
        """Note that an object will never be whole."""
        self._suspect.add(spool)
        if len(self._broken) < MOST_BROKEN:
            self._broken.append((spool, object_id))
            self._told.set()

    def released(self, spool: SpoolSubjects, object_id: str) -> None:
        """Note that a destination needs the shared pieces of an object no more."""
        shared = self._shared.get(spool)
        if shared is not None and len(self._released) < MOST_RELEASED:
            self._released.append((shared, object_id))
            self._told.set()

    async def remove_what_is_told(self) -> None:
        """Remove the pieces of objects that will never be whole, or that nobody needs any more, until cancelled."""
        while True:
            await self._told.wait()
            self._told = anyio.Event()
            while self._broken or self._released:
                try:
                    if self._broken:
                        spool, object_id = self._broken.popleft()
                        await self._remove_broken(spool, object_id)
                    else:
                        shared, object_id = self._released.popleft()
                        await shared.release(object_id)
                except MeshError as error:
                    log.debug("pieces of an object stay until the next look: %s", error)

    async def _remove_broken(self, spool: SpoolSubjects, object_id: str) -> None:
        """Remove the pieces of an object that will never be whole.

        Raises:
            MeshError: they stay.
        """
        inspector = self._spools[spool]
        if isinstance(inspector, SharedPieces):
            await inspector.release(object_id)
        else:
            await inspector.remove_broken(object_id)

    async def is_frozen(self, spool: SpoolSubjects) -> bool:
        """Tell whether nats-server has stopped writing a spool after an error, as it does since 2.14.

        It says so to nobody: it answers every question, and acknowledges nothing. So where an object couldn't be
        stored, something is written here, until that is acknowledged.

        Raises:
            MeshError: NATS is away.
        """
        if spool not in self._suspect:
            return False
        subject = spool.chunk(PROBE_OBJECT)
        with anyio.move_on_after(PROBE_SECONDS) as scope:
            try:
                await self._jetstream.publish(subject, b"probe", message_id=uuid.uuid4().hex)
            except JetStreamRefusal as error:
                log.debug("%s: %s", spool, error)  # it is full, for example: that is no silence
            await self._jetstream.purge(spool.stream, subject)
        if scope.cancelled_caught:
            await self._jetstream.request(f"STREAM.INFO.{spool.stream}")  # or NATS is away
            if spool not in self._frozen:
                log.error(
                    "%s: nats-server has frozen the spool after a write error, and stores nothing in it until it is "
                    "started again: see its log",
                    spool,
                )
            self._frozen.add(spool)
            return True
        self._suspect.discard(spool)
        if spool in self._frozen:
            self._frozen.discard(spool)
            log.info("%s: nats-server writes the spool again", spool)
        return False

    async def sweep(self) -> int:
        """Look once, and remove what was suspect at the last look, too; return its weight: `Orphans.weight`.

        A spool that can't be seen holds up no others.
        """
        weight = 0
        for spool, inspector in self._spools.items():
            try:
                weight += await self._sweep_one(spool, inspector)
            except MeshError as error:
                log.debug("%s can't be swept: %s", spool, error)
        return weight

    async def _sweep_one(self, spool: SpoolSubjects, inspector: SpoolInspector | SharedPieces) -> int:
        """Look at one spool, as `sweep` does; return the weight.

        Raises:
            MeshError: the spool can't be seen.
        """
        removed = 0
        found = await inspector.orphans()
        before = self._suspects.get(spool, {})
        for object_id, count in found.pieces.items():
            if before.get(object_id) == count:
                await inspector.purge_pieces(object_id)
                removed += 1
        self._suspects[spool] = found.pieces
        if removed:
            log.info("%s: removed the pieces of %d objects that were never whole", spool, removed)
        if isinstance(inspector, SpoolInspector):
            await inspector.purge_old_names(self._names_age)
        return found.weight


@asynccontextmanager
async def keeping(context: ServiceContext) -> AsyncIterator[Keeper | None]:
    """Make the spools of this zone's durable routes, and look after them for the length of the block.

    None: there are no such routes.

    Raises:
        StartError: JetStream isn't there, is too old, or grants less than the settings ask for.
        MeshError: NATS went away meanwhile.
    """
    settings = context.settings
    spools, shares = spools_of(settings), shares_of(settings)
    if not spools:
        yield None
        return
    streams = (*spools, *(share.spool for share in shares))
    jetstream = JetStream(context.mesh, domain=settings.spool.domain, deadline=settings.spool.deadline)
    await jetstream.start()
    keeper = Keeper(jetstream, spools, shares, names_age=settings.spool.commitment_age)
    for spool in streams:
        await _hear(context, spool, spool.broken(ANY_TOKEN), keeper.broken)
    for share in shares:
        await _hear(context, share.spool, share.spool.released(ANY_TOKEN), keeper.released)
    if settings.events.enabled:  # before the word that the spools are there, for which front-ends wait
        await ensure_event_stream(jetstream, settings)
    await ensure_streams(jetstream, settings.subject_root, settings.zone, streams, settings.spool)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.remove_what_is_told)
        # While a client pauses in the middle of an object, or NATS is away, its pieces don't grow.
        pause = settings.association.stalled_read_timeout + settings.spool.deadline
        interval = max(settings.spool.sweep_interval, pause)
        tasks.start_soon(look_again_and_again, keeper.sweep, interval)
        yield keeper
        tasks.cancel_scope.cancel()


async def _hear(
    context: ServiceContext, spool: SpoolSubjects, subject: str, take: Callable[[SpoolSubjects, str], None]
) -> None:
    """Let what is told of an object of a spool be taken."""

    def told(message: Message) -> None:
        take(spool, message.subject.rpartition(".")[2])

    await context.mesh.subscribe(subject, told, queue=ServiceName.STORE.value)


async def look_again_and_again(look: Callable[[], Awaitable[int]], interval: float) -> None:
    """Look every `interval` seconds, and less often where there is much to look through, until cancelled.

    It goes by that, and not by how long a look takes: an outage may be in it, or other work of the machine.

    Args:
        look: `Keeper.sweep`.
    """
    weight = 0
    while True:
        await anyio.sleep(max(interval, weight / BYTES_PER_SECOND))
        weight = await look()
