"""The queue of one destination in one source zone: its objects in order, one after the other, until each is settled.

The spool is the queue. An object is in it until its destination has answered, so a service that starts anew begins
with the oldest one and needs to remember nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from dimse_mesh.delivery.bands import Bands
from dimse_mesh.delivery.delivery_events import DeliveryEvents
from dimse_mesh.delivery.early import EarlyObjects
from dimse_mesh.delivery.holds import HoldKey, HoldKind, Holds
from dimse_mesh.delivery.outcomes import DeliveryCause, DeliveryOutcome, Scope
from dimse_mesh.delivery.overlap import StoredNotice
from dimse_mesh.delivery.pace import Pace
from dimse_mesh.delivery.report import ShareReport
from dimse_mesh.delivery.scan import AheadObject, ObjectScan, sequence_of
from dimse_mesh.delivery.settled import SettledObjects
from dimse_mesh.delivery.settling import Settling
from dimse_mesh.delivery.share import QueueShare
from dimse_mesh.delivery.shared_reads import SharedReads
from dimse_mesh.delivery.study_order import StudyOrder
from dimse_mesh.delivery.taker import Taker
from dimse_mesh.mesh import JetStream, MeshError
from dimse_mesh.runtime.backoff import pause_after
from dimse_mesh.runtime.settings_durable import DeliverySettings
from dimse_mesh.schemas.acknowledged import ObjectName
from dimse_mesh.schemas.spool import QueuePause
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.spool import SpooledObject, Unreadable, pause_in

if TYPE_CHECKING:
    from dimse_mesh.encryption.objects import ObjectEncryption

log = logging.getLogger(__name__)

ANEW_INTERVAL = 60.0
"""Seconds after which a share reads its queue from the first object again, when it has nothing to do."""


class DestinationQueue:
    """Delivers the objects of one spool until it is cancelled, or `drain` was called.

    Args:
        report: is told what it does, for people.
        share: of the spool's objects, the ones that are delivered here.
        pace: when, and how fast; all shares have one.
        events: is told what becomes of the objects.
        settled: is told which objects are settled; all shares have one.
        reads: of what waits, in its order; all shares have one.
        encryption: of our zone; None: it has none.
    """

    def __init__(
        self,
        jetstream: JetStream,
        spool: SpoolSubjects,
        target: Taker,
        settings: DeliverySettings,
        report: ShareReport,
        *,
        share: QueueShare,
        pace: Pace,
        events: DeliveryEvents,
        settled: SettledObjects,
        reads: SharedReads,
        encryption: ObjectEncryption | None = None,
    ) -> None:
        self._share = share
        self._reads = reads
        self._settled = settled
        self._encryption = encryption
        self._events = events
        self._pace = pace
        self._jetstream = jetstream
        self._spool = spool
        self._target = target
        self._settings = settings
        self._report = report
        self._holds = Holds()
        self._attempts: dict[str, int] = {}
        """Attempts at each object that its destination has failed, by object id."""
        self._failures = 0
        """Attempts in a row that the destination as a whole has failed."""
        self._awake = asyncio.Event()
        self._anew_at = 0.0
        """When the spool may be read from its first object again, though others have objects in it."""
        self._drained = asyncio.Event()
        self._urged = asyncio.Event()
        """Ends the wait before the next attempt."""
        self._unreadable: set[int] = set()
        self._bands: Bands | None = None
        self._early = EarlyObjects()
        self._order = StudyOrder(jetstream, spool)
        self._paused: QueuePause | None = None
        self._idle = 0.0
        """Seconds in a row in which nothing waited."""
        self._rests = False
        """Whether nothing waited when that was seen last; also while it looks again: others may look just then."""

    def stored(self, notice: StoredNotice) -> None:
        """Note that a manifest was stored."""
        if self._bands is not None:
            self._bands.stored(notice)
        self._awake.set()

    def has_passed(self, name: ObjectName) -> bool:
        """Tell whether an object's turn is over: the queue was read beyond it, and it isn't held back."""
        if not self._share.has(name.study) or self._holds.has(name.calling_ae, name.study):
            return False
        bands = self._bands
        return self._rests or (bands is not None and bands.has_passed(name.priority, name.sequence))

    def has_reached(self, sequence: int) -> bool:
        """Tell whether the queue was read beyond a sequence number, or to its end."""
        return self._rests or (self._bands is not None and self._bands.furthest > sequence)

    def set_pause(self, payload: bytes) -> None:
        """Heed an operator's word: the message of a `QueuePause`. Whatever it is, no attempt is waited for any more."""
        self._paused = pause_in(payload)
        self._holds.let_all_try(asyncio.get_running_loop().time())
        self._urged.set()
        self._awake.set()

    def drain(self) -> None:
        """Stop after the object that is being sent."""
        self._drained.set()
        self._urged.set()
        self._awake.set()

    async def run(self) -> None:
        """Deliver; returns when drained."""
        async with anyio.create_task_group() as tasks:
            settling = Settling(self._jetstream, self._spool, tasks, self._events, self._settled)
            bands = self._bands = Bands(
                lambda priority: self._scan(tasks, self._spool.object(priority=priority), reads=self._reads),
                tasks,
                look_interval=self._settings.look_interval,
            )
            try:
                while not self._drained.is_set():
                    try:
                        await self._step(tasks, bands, settling)
                    except MeshError as error:
                        self._rests = False
                        self._target.abort()
                        self._failures += 1
                        await self._pause(f"the spool can't be read: {error}", "")
                        self._read_anew(bands, settling)
                await settling.settled()
            finally:
                with anyio.CancelScope(shield=True):
                    await self._target.close()
            tasks.cancel_scope.cancel()

    def _read_anew(self, bands: Bands, settling: Settling) -> None:
        """Read the spool from its first object again, or from where it was read to while objects are held back.

        From the first, because nats-server, when it is killed, may bring removed messages back. What isn't removed yet,
        or is of other shares, would be read over and over: so while there is any, that is done now and then only.
        """
        now = asyncio.get_running_loop().time()
        is_alone = self._share.is_whole and not settling.is_busy
        from_first = not len(self._holds) and (is_alone or now >= self._anew_at)
        if from_first:
            self._anew_at = now + ANEW_INTERVAL
            self._early.clear()
        bands.start_again(from_first=from_first)

    def _scan(
        self,
        tasks: TaskGroup,
        subject: str,
        *,
        first: int = 1,
        end: int | None = None,
        reads: SharedReads | None = None,
    ) -> ObjectScan:
        return ObjectScan(
            self._jetstream,
            self._spool,
            self._settings,
            tasks,
            subject=subject,
            first=first,
            end=end,
            share=self._share,
            reads=reads,
            encryption=self._encryption,
        )

    async def _step(self, tasks: TaskGroup, bands: Bands, settling: Settling) -> None:
        """Deliver the next object, or try a hold again, or wait for something to do."""
        if self._paused is not None:
            await self._stay_paused(self._paused)
            return
        opens = self._pace.closed_until(time.time())
        if opens is not None:
            await self._stay_away("outside its schedule", "scheduled", opens)
            return
        due = self._holds.due(asyncio.get_running_loop().time())
        if due is not None:
            key, hold = due
            await self._try_hold(tasks, bands, settling, key, hold.first)
            return
        found = await bands.next()
        self._rests = found is None
        if found is None:
            await self._rest()
            self._read_anew(bands, settling)
            return
        priority, item = found
        handled, scan = False, bands.scan(priority)
        try:
            handled = await self._older_first(tasks, bands, settling, item) and await self._handle(
                item, scan, settling, trying=None
            )
        finally:
            if not handled:
                bands.back_to(priority, sequence_of(item))

    async def _older_first(
        self, tasks: TaskGroup, bands: Bands, settling: Settling, item: AheadObject | Unreadable
    ) -> bool:
        """Deliver what waits in other bands and is older than an object of its study; False: as `_handle`."""
        if isinstance(item, Unreadable):
            return True
        manifest, sequence = item.spooled.manifest, item.spooled.sequence
        study, priority = manifest.study, manifest.priority
        if not bands.others_may_wait(priority) or self._order.is_known(study, sequence):
            return True
        # In this order: what other bands have before that is stored already.
        read_to = bands.scan(priority).read_to
        oldest = await self._order.oldest_elsewhere(manifest)
        if oldest is not None and oldest < sequence:
            scan = self._scan(tasks, self._spool.object(study=study), first=oldest, end=sequence)
            while (older := await scan.next()) is not None:
                if not await self._handle(older, scan, settling, trying=None):
                    return False
            return True
        self._order.note(study, read_to - 1 if oldest is None else min(read_to, oldest) - 1)
        return True

    def _note_settled(self, spooled: SpooledObject) -> None:
        if self._bands is not None:
            self._early.note(spooled, self._bands)

    async def _stay_paused(self, pause: QueuePause) -> None:
        """Wait until an operator says something else, or the pause is over."""
        await self._stay_away(f"paused: {pause.reason or 'no reason given'}", "paused", pause.until)
        if pause.until is not None and time.time() >= pause.until and self._paused is pause:
            self._paused = None

    async def _stay_away(self, why: str, cause: str, until: float | None) -> None:
        """Wait, without an association, until something is said or it is `until`, in seconds since 1970."""
        self._rests = False
        self._report.waits(why, cause, until)
        await self._target.close()
        with anyio.move_on_after(None if until is None else max(0.0, until - time.time())):
            await self._awake.wait()
        self._awake.clear()

    async def _try_hold(
        self, tasks: TaskGroup, bands: Bands, settling: Settling, key: HoldKey, first: int
    ) -> None:
        """Deliver what was held back by `key`, up to where the queue is; the first failure ends that."""
        kind, value = key
        calling = value if kind is HoldKind.CALLING_AE else None
        study = value if kind is HoldKind.STUDY else None
        subject = self._spool.object(calling_ae=calling, study=study)
        scan = self._scan(tasks, subject, first=first, end=bands.furthest)
        failures = self._holds.failures(key)
        while (
            not self._drained.is_set() and self._paused is None and not self._pace.closed_until(time.time())
        ):
            item = await scan.next()
            if item is None:
                self._holds.release(key)
                return
            if not await self._handle(item, scan, settling, trying=key):
                return
            if self._holds.failures(key) != failures:
                return

    async def _handle(
        self, item: AheadObject | Unreadable, scan: ObjectScan, settling: Settling, *, trying: HoldKey | None
    ) -> bool:
        """Deliver an object unless it is held back. False: it is to be delivered again before others."""
        if isinstance(item, Unreadable):
            if item.sequence not in self._unreadable:
                self._unreadable.add(item.sequence)
                log.error("%s: message %d is not understood: %s", self._spool, item.sequence, item.why)
            return True
        spooled = item.spooled
        manifest = spooled.manifest
        if settling.is_settled(spooled.sequence, item.asked) or spooled.sequence in self._early:
            return True
        if self._holds.holds_back(manifest, spooled.sequence, trying=trying):
            return True
        await settling.room()
        if await settling.was_delivered_before(spooled):
            self._delivered(settling, item, DeliveryOutcome(DeliveryCause.DUPLICATE))
            return True
        attempts = self._attempts.get(manifest.object_id, 0) + 1
        with self._report.attempt(manifest, attempts) as span:
            outcome = await self._target.deliver(
                spooled,
                self._pace.limited(item.data_set()),
                attempts=attempts,
                ahead=scan.contexts_ahead(),
            )
            if outcome.cause is DeliveryCause.DAMAGED and await settling.was_delivered(spooled):
                outcome = DeliveryOutcome(DeliveryCause.DUPLICATE)
            span.outcome = outcome
        if outcome.scope is Scope.AGAIN:
            return False
        self._report.attempted(outcome)
        if outcome.tried:
            self._attempts[manifest.object_id] = attempts
        limit = self._settings.retry.attempts
        if outcome.tried and limit and attempts >= limit and outcome.scope is not Scope.NOBODY:
            self._bury(settling, item, outcome, attempts)
            return True
        match outcome.scope:
            case Scope.NOBODY:
                self._delivered(settling, item, outcome)
                return True
            case Scope.DEAD_LETTER:
                self._bury(settling, item, outcome, attempts)
            case Scope.DESTINATION:
                self._failures += 1
                await self._pause(outcome.sentence, outcome.cause.value)
                return False
            case Scope.CALLING_AE:
                self._hold((HoldKind.CALLING_AE, manifest.calling_ae), spooled, outcome)
            case Scope.STUDY:
                self._hold((HoldKind.STUDY, manifest.study), spooled, outcome)
        return True

    def _delivered(self, settling: Settling, item: AheadObject, outcome: DeliveryOutcome) -> None:
        self._failures = 0
        self._attempts.pop(item.spooled.manifest.object_id, None)
        settling.remove(item, outcome)
        self._note_settled(item.spooled)
        self._report.delivers()

    def _bury(self, settling: Settling, item: AheadObject, outcome: DeliveryOutcome, attempts: int) -> None:
        self._failures = 0
        settling.bury(item, outcome, attempts)
        self._note_settled(item.spooled)
        object_id = item.spooled.manifest.object_id
        self._attempts.pop(object_id, None)
        log.error("%s: object %s is a dead letter: %s", self._spool, object_id, outcome.public)
        self._report.buried()

    def _hold(self, key: HoldKey, spooled: SpooledObject, outcome: DeliveryOutcome) -> None:
        wait = pause_after(self._holds.failures(key) + 1, self._settings.retry)
        until = asyncio.get_running_loop().time() + wait
        self._holds.set(key, first=spooled.sequence, until=until)
        log.warning("%s: %s; trying again in %.1f s", self._spool, outcome.public, wait)
        self._report.waits(outcome.sentence, outcome.cause.value, time.time() + wait)

    async def _pause(self, sentence: str, cause: str) -> None:
        """Wait before the destination is tried again."""
        wait = pause_after(self._failures, self._settings.retry)
        log.warning("%s: %s; trying again in %.1f s", self._spool, cause or sentence, wait)
        self._report.waits(sentence, cause, time.time() + wait)
        with anyio.move_on_after(wait):
            await self._urged.wait()
        self._urged.clear()  # one that came while the attempt was under way counts, too

    async def _rest(self) -> None:
        """Wait until something is stored, a hold is due, or it is time to look again."""
        if not len(self._holds):
            self._report.idle()
        loop = asyncio.get_running_loop()
        patience = self._settings.look_interval
        if self._target.is_open:
            patience = min(patience, self._settings.idle_time)
        due = self._holds.next_due()
        if due is not None:
            patience = min(patience, max(0.0, due - loop.time()))
        began = loop.time()
        with anyio.move_on_after(patience):
            await self._awake.wait()
        if not self._awake.is_set() and self._target.is_open:
            self._idle += loop.time() - began
            if self._idle >= self._settings.idle_time:
                await self._target.close()
        else:
            self._idle = 0.0
        self._awake.clear()
