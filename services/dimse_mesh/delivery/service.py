"""The delivery service from its start to its drained stop: a queue for each spool that is for an AE of this zone, and
for each one whose objects it takes on to their destinations' queues: behind hooks, or by the origin of their study."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from dimse_mesh.delivery.audit import DeliveryAudit
from dimse_mesh.delivery.confirmation import Confirmation
from dimse_mesh.delivery.containing import ContainingTaker
from dimse_mesh.delivery.deciphering import DecipheringTaker
from dimse_mesh.delivery.delivery_events import DeliveryEvents
from dimse_mesh.delivery.hearing import Hearing
from dimse_mesh.delivery.hook_stage import HookStage
from dimse_mesh.delivery.origin_stage import OriginStage, RememberingTaker
from dimse_mesh.delivery.overlap import StoredNotice
from dimse_mesh.delivery.pace import Pace
from dimse_mesh.delivery.progress import ProgressReport
from dimse_mesh.delivery.queue import DestinationQueue
from dimse_mesh.delivery.report import QueueReport
from dimse_mesh.delivery.roll_call import RollCall
from dimse_mesh.delivery.settled import SettledObjects
from dimse_mesh.delivery.share import QueueShare
from dimse_mesh.delivery.shared_reads import SharedReads
from dimse_mesh.delivery.shares import QueueShares
from dimse_mesh.delivery.taker import Taker
from dimse_mesh.delivery.target import Target
from dimse_mesh.events import event_publisher
from dimse_mesh.mesh import JetStream, MeshError, Message, NotPermitted
from dimse_mesh.policy import (
    ConfiguredPolicy,
    DecisionPoint,
    OpeningQuestion,
    PolicyRefusal,
    Side,
    audit_refusals,
)
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.counters_durable import QueueCounters, QueueKey
from dimse_mesh.runtime.encryption import object_encryption
from dimse_mesh.runtime.settings_pace import PaceSettings
from dimse_mesh.runtime.settings_scu import RemoteAe
from dimse_mesh.schemas.spool_subjects import (
    DestinationKind,
    SpoolSubjects,
    StateKind,
    every_spool,
    parse_stream,
)
from dimse_mesh.spool import AcknowledgedNames, NewestWord, Origins, Questions, naming
from dimse_mesh.transcoding import Transcoder

log = logging.getLogger(__name__)

NICENESS = 10
"""Of the process: on a machine that is busy, clients and live traffic go first, and delivery catches up (ADR 34)."""
DENIED_INTERVAL = 60.0
"""Seconds after which is asked again for what our user may not see: nats-server logs each of these questions."""
LEAST_READ_AHEAD = 1 << 20
"""Bytes that each share of a queue may read ahead at least."""


async def run(context: ServiceContext) -> None:
    """Deliver until told to drain, then until the objects that are being sent are through.

    Raises:
        StartError: a TLS file of a target is unusable.
    """
    with suppress(PermissionError):  # a container's rules may deny even that
        os.nice(NICENESS)
    settings = context.settings
    domains = dict.fromkeys(settings.delivery.domains)
    if settings.takes_on:
        domains[settings.spool.domain] = None
    by_domain = {
        domain: JetStream(context.mesh, domain=domain, deadline=settings.spool.deadline) for domain in domains
    }
    stores = list(by_domain.values())
    for store in stores:
        await store.start()
    origins = None
    if settings.has_routes_by_origin:
        kept = by_domain[settings.spool.domain]
        origins = Origins(kept, root=settings.subject_root, zone=settings.zone)
    kept = by_domain.get(settings.spool.domain, stores[0])
    async with naming(
        kept, max_payload=context.mesh.max_payload, receipts_kept=settings.spool.commitment_age
    ) as names:
        service = DeliveryService(context, origins, names)
        hearing = Hearing(context.mesh, service.confirmations)
        await hearing.listen()
        context.ready()
        async with anyio.create_task_group() as queues:
            async with anyio.create_task_group() as looking:
                looking.start_soon(hearing.run)
                for store in stores:
                    looking.start_soon(service.look, store, queues)
                await context.draining.wait()
                looking.cancel_scope.cancel()
            service.drain()
            queues.cancel_scope.deadline = anyio.current_time() + settings.delivery.drain_timeout


class Measured(Protocol):
    """What looks into a spool now and then."""

    async def measure(self) -> None:
        """Look.

        Raises:
            MeshError: it can't be seen.
        """


class DeliveryService:
    """Finds the spools of this zone's AEs and keeps a queue for each.

    Args:
        origins: where it is remembered which zone a study came from; None: no route goes by that.
        names: of what is taken on from one spool to another.

    Raises (from the constructor):
        StartError: a key of the encryption is unusable.
    """

    def __init__(self, context: ServiceContext, origins: Origins | None, names: AcknowledgedNames) -> None:
        self._names = names
        self._context = context
        self._origins = origins
        self._encryption = object_encryption(context.settings)
        self._events = event_publisher(context)
        self._policy = DecisionPoint(ConfiguredPolicy.of(context.settings), audit_refusals(context.audit))
        self._queues: dict[tuple[JetStream, SpoolSubjects], QueueShares] = {}
        self._denied: dict[tuple[JetStream, SpoolSubjects], float] = {}
        """Until when no queue is begun that our user may not read, in seconds of the event loop."""
        self._reports: defaultdict[JetStream, list[Measured]] = defaultdict(list)
        self.confirmations: list[Confirmation] = []
        """Of the destinations whose queues are here; grows."""

    def drain(self) -> None:
        """Stop each queue after the object that is being sent."""
        for queue in self._queues.values():
            queue.drain()

    async def look(self, store: JetStream, tasks: TaskGroup) -> None:
        """Look for new spools again and again, until cancelled."""
        settings = self._context.settings
        while True:
            interval = settings.delivery.look_interval
            try:
                names = await store.streams(every_spool(settings.subject_root))
            except MeshError as error:
                log.debug("no spools can be seen: %s", error)
                names = []
                if isinstance(error, NotPermitted):  # as far as nats-server knows, no route leads here
                    interval = max(interval, DENIED_INTERVAL)
            for name in names:
                spool = parse_stream(settings.subject_root, name)
                if spool is None or (store, spool) in self._queues:
                    continue
                if self._denied.get((store, spool), 0.0) > anyio.current_time():
                    continue
                takers = self._takers_for(store, spool)
                if takers:
                    await self._begin(store, spool, takers, tasks)
            for report in self._reports[store]:
                try:
                    await report.measure()
                except MeshError as error:
                    log.debug("a spool can't be measured: %s", error)
            await anyio.sleep(interval)

    def _takers_for(self, store: JetStream, spool: SpoolSubjects) -> list[Taker]:
        """Return who takes the objects of a spool, one for each of its shares; empty: nobody in this zone."""
        takers = (self._taker_for(store, spool) for _ in range(self._shares_of(spool)))
        return [taker for taker in takers if taker is not None]

    def _shares_of(self, spool: SpoolSubjects) -> int:
        """Return on how many associations a spool's objects are delivered."""
        remote = None if spool.is_on_its_way else self._remote_of(spool)
        if remote is None:
            return 1
        pace = self._pace_of(spool)
        count = self._context.settings.delivery.max_associations
        if pace is not None and pace.max_associations is not None:
            count = pace.max_associations
        return min(count, remote.max_associations or count)

    def _taker_for(self, store: JetStream, spool: SpoolSubjects) -> Taker | None:
        """Return who takes the objects of a spool; None: nobody in this zone."""
        context = self._context
        if spool.is_on_its_way:
            if spool.zone != context.settings.zone:
                return None
            max_payload = context.mesh.max_payload
            if spool.is_before_hooks:
                return HookStage(
                    store,
                    spool,
                    context.settings,
                    max_payload=max_payload,
                    note=self._names.note,
                    encryption=self._encryption,
                )
            if self._origins is None:  # no route goes by origin any more
                return None
            return OriginStage(
                store,
                spool,
                context.settings,
                self._origins,
                max_payload=max_payload,
                note=self._names.note,
                encryption=self._encryption,
            )
        remote = self._remote_of(spool)
        if remote is None:
            return None
        settings = context.settings.delivery
        transcoder = Transcoder(settings.transcoding)
        target = Target(
            remote,
            transcoder,
            response_timeout=settings.response_timeout,
            objection=partial(self._objection, remote.ae_title, spool.zone),
            audit=DeliveryAudit(context.audit, remote, source=spool.zone),
        )
        if self._origins is None:
            return target
        return RememberingTaker(target, self._origins, source=spool.zone)

    def _objection(self, target: str, from_zone: str, called: str, calling: str) -> PolicyRefusal | None:
        """Return what this zone's policy says of an object's AE titles, as of those of an association."""
        return self._policy.opening(
            OpeningQuestion(
                side=Side.EXECUTOR, from_zone=from_zone, called_ae=called, calling_ae=calling, target=target
            )
        )

    def _remote_of(self, spool: SpoolSubjects) -> RemoteAe | None:
        """Return the AE of this zone that a spool is for; None: it is for none."""
        settings = self._context.settings
        if spool.kind is DestinationKind.ZONE:
            remote = settings.scu.default_ae if spool.name == settings.zone else None
        else:
            remote = next((ae for ae in settings.scu.remote_aes if ae.ae_title == spool.name), None)
        if remote is not None and remote.from_zones is not None and spool.zone not in remote.from_zones:
            return None
        return remote

    def _pace_of(self, spool: SpoolSubjects) -> PaceSettings | None:
        """Return what is said of when, and how fast, the objects of a spool are delivered; None: nothing."""
        remote = None if spool.is_on_its_way else self._remote_of(spool)
        found = (
            pace for pace in self._context.settings.delivery.pace if remote and pace.ae == remote.ae_title
        )
        return next(found, None)

    async def _begin(
        self, store: JetStream, spool: SpoolSubjects, takers: Sequence[Taker], tasks: TaskGroup
    ) -> None:
        settings = self._context.settings.delivery
        reads = SharedReads(store, spool.stream, shares=len(takers), most_bytes=settings.read_ahead)
        said = self._pace_of(spool)
        if said is not None and said.retry is not None:
            settings = settings.model_copy(update={"retry": said.retry})
        if len(takers) > 1:  # what is read ahead stays within its limit
            read_ahead = max(LEAST_READ_AHEAD, settings.read_ahead // len(takers))
            settings = settings.model_copy(update={"read_ahead": read_ahead})
        pace = Pace(said)
        counters = QueueCounters()
        self._context.counters.queues[QueueKey(spool.zone, spool.label)] = counters
        report = QueueReport(
            store, spool, self._context.mesh.address.tokens, counters, self._context.telemetry, note=pace.note
        )
        remote = None if spool.is_on_its_way else self._remote_of(spool)
        events = DeliveryEvents(
            self._context, store, spool, self._events, "" if remote is None else remote.ae_title
        )
        settled = SettledObjects()
        queue = QueueShares(
            [
                DestinationQueue(
                    store,
                    spool,
                    ContainingTaker(DecipheringTaker(target, spool, self._encryption), spool),
                    settings,
                    report.share(),
                    share=QueueShare(number, len(takers)),
                    pace=pace,
                    events=events,
                    settled=settled,
                    reads=reads,
                    encryption=self._encryption,
                )
                for number, target in enumerate(takers)
            ]
        )

        roll_call = RollCall(
            store,
            spool,
            queue,
            settled,
            events=events,
            lost=report.lost,
            interval=settings.look_interval,
            overlap=settings.drain_timeout,
        )

        def stored(message: Message) -> None:
            roll_call.stored()
            queue.stored(StoredNotice.of(message.headers))

        mesh = self._context.mesh
        pause = NewestWord(mesh, store, spool, StateKind.PAUSE, queue.set_pause)
        try:  # before anything is subscribed to: else each attempt would leave something behind
            await pause.measure()
            await events.measure()
        except MeshError as error:
            log.debug("%s can't be read yet: %s", spool, error)
            if isinstance(error, NotPermitted):  # as far as nats-server knows, no route leads there any more
                self._denied[store, spool] = anyio.current_time() + DENIED_INTERVAL
            return
        await mesh.subscribe(spool.spooled, stored, stored=True)
        await pause.follow()
        with suppress(MeshError):  # what was said in between; it is looked for again and again
            await pause.measure()
        self._queues[store, spool] = queue
        self._reports[store] += [report, events, ProgressReport(store, spool), pause]
        log.info("delivering %s", spool)
        confirmation: Confirmation | None = None
        if remote is not None:
            confirmation = Confirmation(Questions(store, spool), spool, remote, settings)
            self.confirmations.append(confirmation)
        tasks.start_soon(_deliver, queue, report, roll_call, confirmation)


async def _deliver(
    queue: QueueShares, report: QueueReport, roll_call: RollCall, confirmation: Confirmation | None
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(report.publish)
        tasks.start_soon(roll_call.run)
        if confirmation is not None:
            tasks.start_soon(confirmation.run)
        await queue.run()
        tasks.cancel_scope.cancel()
