"""Watches the spools of a zone: how much waits in each, how full it is, and what becomes of it.

The delivery service of a destination may run in another cluster, or nowhere. What it says of a queue stands in the
source zone's JetStream, and so does what waits: here both become metrics, where the objects' owner looks for them.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from dataclasses import dataclass

import anyio

from dimse_mesh.mesh import JetStream, MeshError, pack
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.counters_durable import QueueKey, SpoolCounters, SpoolState
from dimse_mesh.runtime.settings_durable import SpoolSettings
from dimse_mesh.runtime.spools import shares_of, spools_of
from dimse_mesh.schemas.spool import QueuePause, QueueStatus, SpoolRoom
from dimse_mesh.schemas.spool_subjects import SpoolSubjects, StateKind
from dimse_mesh.spool import SpoolInspector, Unreadable, parse_object
from dimse_mesh.store.keeper import Keeper
from dimse_mesh.store.room import disk_share, refusing
from dimse_mesh.store.stranded import StrandedSpools

log = logging.getLogger(__name__)

SILENT_SECONDS = 120.0
"""How long the oldest object may stay the same without a reason given, until the delivery service counts as silent."""


@dataclass(slots=True)
class Progress:
    """Which object was the oldest, and since when."""

    oldest: int = 0
    """Its sequence number; 0: nothing waited."""
    since: float = 0.0

    def saw(self, oldest: int, now: float) -> float:
        """Take note of the oldest object; return for how long it has been the same one."""
        if oldest != self.oldest:
            self.oldest, self.since = oldest, now
        return now - self.since


def state_of(
    *, waiting: bool, status: QueueStatus | None, pause: QueuePause | None, unchanged: float, now: float
) -> str:
    """Return what becomes of what waits: a `SpoolState`, or the cause for which the delivery service waits.

    Args:
        status: the delivery service's last word.
        unchanged: seconds for which the oldest object has been the same one.
        now: seconds since 1970.
    """
    if pause is not None:
        return SpoolState.PAUSED
    if not waiting:
        return SpoolState.IDLE
    if status is None:
        return SpoolState.NOBODY
    heard = max(status.since, status.next_attempt or 0.0)
    if min(unchanged, now - heard) > SILENT_SECONDS:
        return SpoolState.SILENT
    return status.cause or SpoolState.DELIVERING


class SpoolWatch:
    """Watches one spool.

    Args:
        counters: what was seen last is there.
        keeper: knows whether nats-server still writes the spool.
    """

    def __init__(
        self,
        jetstream: JetStream,
        spool: SpoolSubjects,
        counters: SpoolCounters,
        settings: SpoolSettings,
        keeper: Keeper,
    ) -> None:
        self._settings = settings
        self._keeper = keeper
        self._said: str | None = None
        self._jetstream = jetstream
        self._spool = spool
        self._counters = counters
        self._inspector = SpoolInspector(jetstream, spool)
        self._progress = Progress()

    async def look(self) -> None:
        """Look once.

        Raises:
            MeshError: the spool can't be read.
        """
        counters = self._counters
        try:
            first = await self._jetstream.read(self._spool.stream, self._spool.object(), count=1, max_bytes=1)
            info = await self._jetstream.request(f"STREAM.INFO.{self._spool.stream}")
            status, pause = await self._inspector.status(), await self._inspector.pause()
        except MeshError:
            counters.reachable = False
            raise
        now = time.time()
        counters.objects = len(first.messages) + first.pending
        counters.oldest = 0.0
        for message in first.messages:
            found = parse_object(message)
            if not isinstance(found, Unreadable):
                counters.oldest = max(0.0, now - found.manifest.received)
        counters.bytes_kept = int(info["state"]["bytes"])
        counters.bytes_limit = int(info["config"]["max_bytes"])
        sequence = first.messages[0].sequence if first.messages else 0
        counters.state = state_of(
            waiting=counters.objects > 0,
            status=status,
            pause=pause,
            unchanged=self._progress.saw(sequence, asyncio.get_running_loop().time()),
            now=now,
        )
        counters.reachable = True
        await self._say_whether_there_is_room()

    async def _say_whether_there_is_room(self) -> None:
        """Tell the front-ends, when it has changed, whether they are to refuse clients.

        Raises:
            MeshError: NATS is away.
        """
        counters = self._counters
        counters.disk_share = disk_share(self._settings.store_dir)
        counters.refusing = refusing(
            counters.refusing,
            self._settings.high_water,
            spool_share=counters.bytes_kept / counters.bytes_limit if counters.bytes_limit > 0 else 0.0,
            disk_share=counters.disk_share,
            frozen=await self._keeper.is_frozen(self._spool),
        )
        if counters.refusing == self._said:
            return
        word = SpoolRoom(refusing=counters.refusing, since=time.time())
        await self._jetstream.publish(
            self._spool.state(StateKind.ROOM), pack(word), message_id=uuid.uuid4().hex
        )
        self._said = counters.refusing


async def watch(context: ServiceContext, keeper: Keeper) -> None:
    """Look into the spools of this zone again and again, until cancelled."""
    settings = context.settings
    spools = (*spools_of(settings), *(share.spool for share in shares_of(settings)))
    jetstream = JetStream(context.mesh, domain=settings.spool.domain, deadline=settings.spool.deadline)
    await jetstream.start()
    watches = []
    for spool in spools:
        counters = context.counters.spools[QueueKey(spool.zone, spool.label)] = SpoolCounters()
        watches.append(SpoolWatch(jetstream, spool, counters, settings.spool, keeper))
    stranded = StrandedSpools(
        jetstream, spools, context.counters.spools, root=settings.subject_root, zone=settings.zone
    )
    looks = [*(one.look for one in watches), stranded.look]
    while True:
        for look in looks:
            try:
                await look()
            except MeshError as error:
                log.debug("a spool can't be seen: %s", error)
        await anyio.sleep(settings.spool.look_interval)
