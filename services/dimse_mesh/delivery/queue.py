"""The queue of one destination in one source zone: its objects in order, one after the other, until each is settled.

The spool is the queue. An object is in it until its destination has answered, so a service that starts anew begins
with the oldest one and needs to remember nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time

import anyio
from anyio.abc import TaskGroup

from dimse_mesh.delivery.holds import HoldKey, HoldKind, Holds
from dimse_mesh.delivery.outcomes import DeliveryCause, DeliveryOutcome, Scope
from dimse_mesh.delivery.pace import Pace
from dimse_mesh.delivery.report import QueueReport
from dimse_mesh.delivery.scan import AheadObject, ObjectScan
from dimse_mesh.delivery.settling import Settling
from dimse_mesh.delivery.taker import Taker
from dimse_mesh.mesh import JetStream, MeshError
from dimse_mesh.runtime.backoff import pause_after
from dimse_mesh.runtime.settings_durable import DeliverySettings
from dimse_mesh.schemas.spool import QueuePause
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.spool import SpooledObject, Unreadable, pause_in

log = logging.getLogger(__name__)


class DestinationQueue:
    """Delivers the objects of one spool until it is cancelled, or `drain` was called.

    Args:
        report: is told what the queue does, for people.
        pace: when, and how fast.
    """

    def __init__(
        self,
        jetstream: JetStream,
        spool: SpoolSubjects,
        target: Taker,
        settings: DeliverySettings,
        report: QueueReport,
        *,
        pace: Pace,
    ) -> None:
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
        self._drained = asyncio.Event()
        self._unreadable: set[int] = set()
        self._paused: QueuePause | None = None

    def wake(self) -> None:
        """Say that something was stored, or that waiting is over."""
        self._awake.set()

    def set_pause(self, payload: bytes) -> None:
        """Heed an operator's word: the message of a `QueuePause`."""
        self._paused = pause_in(payload)
        self._awake.set()

    def drain(self) -> None:
        """Stop after the object that is being sent."""
        self._drained.set()
        self._awake.set()

    async def run(self) -> None:
        """Deliver; returns when drained."""
        async with anyio.create_task_group() as tasks:
            settling = Settling(self._jetstream, self._spool, tasks)
            main = self._scan(tasks, self._spool.object())
            try:
                while not self._drained.is_set():
                    try:
                        await self._step(tasks, main, settling)
                    except MeshError as error:
                        self._target.abort()
                        self._failures += 1
                        await self._pause(f"the spool can't be read: {error}", "")
                        main.back_to(main.position)
                await settling.settled()
            finally:
                with anyio.CancelScope(shield=True):
                    await self._target.close()
            tasks.cancel_scope.cancel()

    def _scan(self, tasks: TaskGroup, subject: str, *, first: int = 1, end: int | None = None) -> ObjectScan:
        return ObjectScan(
            self._jetstream, self._spool, self._settings, tasks, subject=subject, first=first, end=end
        )

    async def _step(self, tasks: TaskGroup, main: ObjectScan, settling: Settling) -> None:
        """Deliver the next object, or try a hold again, or wait for something to do."""
        if self._paused is not None:
            await self._stay_paused(self._paused)
            return
        opens = self._pace.closed_until(time.time())
        if opens is not None:
            await self._stay_closed(opens)
            return
        due = self._holds.due(asyncio.get_running_loop().time())
        if due is not None:
            key, hold = due
            await self._try_hold(tasks, main, settling, key, hold.first)
            return
        item = await main.next()
        if item is None:
            await self._rest()
        elif not await self._handle(item, main, settling, trying=None):
            main.back_to(_sequence(item))

    async def _stay_paused(self, pause: QueuePause) -> None:
        """Wait until an operator says something else, or the pause is over."""
        self._report.waits(f"paused: {pause.reason or 'no reason given'}", "paused", pause.until)
        await self._target.close()
        left = None if pause.until is None else pause.until - time.time()
        with anyio.move_on_after(left):
            await self._awake.wait()
        self._awake.clear()
        if pause.until is not None and time.time() >= pause.until and self._paused is pause:
            self._paused = None

    async def _stay_closed(self, opens: float) -> None:
        """Wait until a window of the schedule opens."""
        self._report.waits("outside its schedule", "scheduled", opens)
        await self._target.close()
        with anyio.move_on_after(max(0.0, opens - time.time())):
            await self._awake.wait()
        self._awake.clear()

    async def _try_hold(
        self, tasks: TaskGroup, main: ObjectScan, settling: Settling, key: HoldKey, first: int
    ) -> None:
        """Deliver what was held back by `key`, up to where the queue is; the first failure ends that."""
        kind, value = key
        calling = value if kind is HoldKind.CALLING_AE else None
        study = value if kind is HoldKind.STUDY else None
        subject = self._spool.object(calling_ae=calling, study=study)
        scan = self._scan(tasks, subject, first=first, end=main.position)
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
        """Deliver an object unless it is held back. False: the destination as a whole must be waited for."""
        if isinstance(item, Unreadable):
            if item.sequence not in self._unreadable:
                self._unreadable.add(item.sequence)
                log.error("%s: message %d is not understood: %s", self._spool, item.sequence, item.why)
            return True
        spooled = item.spooled
        manifest = spooled.manifest
        if settling.is_settled(spooled.sequence):
            return True
        if self._holds.holds_back(manifest, spooled.sequence, trying=trying):
            return True
        await settling.room()
        attempts = self._attempts.get(manifest.object_id, 0) + 1
        with self._report.attempt(manifest, attempts) as span:
            outcome = await self._target.deliver(
                spooled,
                self._pace.limited(item.data_set()),
                attempts=attempts,
                ahead=list(scan.contexts_ahead()),
            )
            span.outcome = outcome
        self._report.attempted(outcome)
        if outcome.tried:
            self._attempts[manifest.object_id] = attempts
        limit = self._settings.retry.attempts
        if outcome.tried and limit and attempts >= limit and outcome.scope is not Scope.NOBODY:
            return await self._bury(settling, spooled, outcome, attempts)
        match outcome.scope:
            case Scope.NOBODY:
                self._delivered(settling, spooled, outcome)
                return True
            case Scope.DEAD_LETTER:
                return await self._bury(settling, spooled, outcome, attempts)
            case Scope.DESTINATION:
                self._failures += 1
                await self._pause(self._sentence(outcome), outcome.cause.value)
                return False
            case Scope.CALLING_AE:
                self._hold((HoldKind.CALLING_AE, manifest.calling_ae), spooled, outcome)
            case Scope.STUDY:
                self._hold((HoldKind.STUDY, manifest.study), spooled, outcome)
        return True

    def _delivered(self, settling: Settling, spooled: SpooledObject, outcome: DeliveryOutcome) -> None:
        self._failures = 0
        self._attempts.pop(spooled.manifest.object_id, None)
        settling.remove(spooled, redirected_to=outcome.redirected_to)
        self._report.delivered(spooled.manifest, outcome)

    async def _bury(
        self, settling: Settling, spooled: SpooledObject, outcome: DeliveryOutcome, attempts: int
    ) -> bool:
        self._failures = 0
        await settling.bury(spooled, outcome, attempts)
        self._attempts.pop(spooled.manifest.object_id, None)
        log.error(
            "%s: object %s is a dead letter: %s",
            self._spool,
            spooled.manifest.object_id,
            outcome.public,
        )
        self._report.buried(outcome)
        return True

    def _hold(self, key: HoldKey, spooled: SpooledObject, outcome: DeliveryOutcome) -> None:
        wait = pause_after(self._holds.failures(key) + 1, self._settings.retry)
        until = asyncio.get_running_loop().time() + wait
        self._holds.set(key, first=spooled.sequence, until=until)
        log.warning("%s: %s; trying again in %.1f s", self._spool, outcome.public, wait)
        self._report.waits(self._sentence(outcome), outcome.cause.value, time.time() + wait)

    async def _pause(self, sentence: str, cause: str) -> None:
        """Wait before the destination is tried again."""
        wait = pause_after(self._failures, self._settings.retry)
        log.warning("%s: %s; trying again in %.1f s", self._spool, cause or sentence, wait)
        self._report.waits(sentence, cause, time.time() + wait)
        with anyio.move_on_after(wait):
            await self._drained.wait()

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

    _idle = 0.0

    def _sentence(self, outcome: DeliveryOutcome) -> str:
        what = outcome.public if outcome.cause is not DeliveryCause.REJECTED else outcome.detail
        return f"{what}: {outcome.detail}" if outcome.detail and what != outcome.detail else what


def _sequence(item: AheadObject | Unreadable) -> int:
    return item.sequence if isinstance(item, Unreadable) else item.spooled.sequence
