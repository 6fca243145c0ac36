"""Storage commitment on durable routes: take requests (N-ACTION), and say when the instances are where they belong.

A request is on disk before it is answered. From then on its owner, the front-end that took it, looks for the receipts
of its instances; when each is delivered or lost, the owner reports (N-EVENT-REPORT), on the association that asked if
that is still open, else on a new one. When the owner has died, another front-end of the zone takes the request over.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Sequence

import anyio
from anyio.abc import TaskGroup

from dimse_mesh.association.commitment_confirming import Confirming
from dimse_mesh.association.commitment_fates import decide
from dimse_mesh.association.commitment_known import KnownFates
from dimse_mesh.association.commitment_report import AssociationAsked, Reporter, ReportFailed
from dimse_mesh.association.durable_events import DurableEvents
from dimse_mesh.association.durable_session import DurableSession
from dimse_mesh.dimse import CommandReceived, CommandSet, Status
from dimse_mesh.dimse.commitment import (
    REQUEST_COMMITMENT,
    STORAGE_COMMITMENT_INSTANCE,
    CommitmentAction,
    CommitmentResult,
    read_action,
)
from dimse_mesh.mesh import JetStream, JetStreamRefusal, MeshError, StreamFull, WrongLastSequence
from dimse_mesh.mesh.errors import report
from dimse_mesh.runtime.backoff import pause_after
from dimse_mesh.runtime.context import ServiceContext
from dimse_mesh.runtime.counters_durable import CommitmentCounters
from dimse_mesh.schemas.addresses import Role
from dimse_mesh.schemas.commitment import CommitmentRequest, WaitedFor
from dimse_mesh.schemas.spool_subjects import SpoolSubjects
from dimse_mesh.schemas.tokens import id_of
from dimse_mesh.spool import CommitmentStore, PendingCommitment

log = logging.getLogger(__name__)

LARGEST = 768 << 10
"""Bytes of a request's data set; it is kept in one message."""
BRISK, SLOW = 0.5, 15.0
"""Seconds between looks for the receipts of a request that is new, and of one that has waited long."""
WHOLE_LOOK = 10.0
"""Seconds between looks at the requests of other front-ends, which may have died."""
ORPHANED = 5.0
"""Seconds after which a request counts as nobody's whose owner isn't known to live."""


class RefusedRequest(Exception):
    """A request is not granted; the requestor gets this status."""

    def __init__(self, status: int, comment: str | None = None, *, outcome: str = "refused") -> None:
        super().__init__(comment or f"status {status:04X}H")
        self.status = status
        self.comment = comment
        self.outcome = outcome


class Commitments:
    """The requests for storage commitment of one front-end.

    Args:
        spools: of the zone, by label.
        events: tells what was reported; None: nobody is told.
    """

    def __init__(
        self,
        context: ServiceContext,
        jetstream: JetStream,
        reporter: Reporter,
        spools: Sequence[SpoolSubjects],
        *,
        events: DurableEvents | None = None,
    ) -> None:
        settings = context.settings
        self._context = context
        self._counters = context.counters.commitments = CommitmentCounters()
        self._known = KnownFates(jetstream, spools)
        self._store = CommitmentStore(jetstream, settings.subject_root, settings.zone)
        self._reporter = reporter
        self._confirming = Confirming(jetstream, spools, self._counters)
        self._events = events
        self._me = context.mesh.address.tokens
        self._own: dict[str, PendingCommitment] = {}
        self._looked: dict[str, float] = {}
        """When the receipts of a request are to be looked for again, in loop time."""
        self._orphans: dict[str, float] = {}
        """Requests whose owner isn't known to live, and since when."""
        self._reporting: set[str] = set()
        self._asked_on: dict[str, AssociationAsked] = {}
        """The association and context on which a request came."""
        self._woken = asyncio.Event()

    # --- requests

    async def take(
        self,
        session: DurableSession,
        received: CommandReceived,
        command: CommandSet,
        information: bytes | None,
        *,
        transfer_syntax: str,
        titles: tuple[str, str],
        spools: Sequence[SpoolSubjects],
        confirms: bool,
    ) -> tuple[int, str | None]:
        """Take a request; return its status and an error comment.

        Args:
            information: its data set; None: it has none, or a very long one.
            titles: called and calling AE title, as the requestor has said them.
            spools: that the route's objects are written into.
            confirms: whether the destinations are asked for their own storage commitment, too.
        """
        try:
            action = self._check(command, information, transfer_syntax, requestor=titles[1])
            await self._keep(
                (session, received.context_id),
                action,
                information or b"",
                transfer_syntax=transfer_syntax,
                titles=titles,
                spools=spools,
                confirms=confirms,
            )
        except RefusedRequest as refused:
            self._counters.count(refused.outcome)
            return refused.status, refused.comment
        self._counters.count("requested")
        return Status.SUCCESS, None

    def _check(
        self, command: CommandSet, information: bytes | None, transfer_syntax: str, *, requestor: str
    ) -> CommitmentAction:
        """Return what is asked for.

        Raises:
            RefusedRequest: it can't be granted.
        """
        if command.requested_sop_instance_uid != STORAGE_COMMITMENT_INSTANCE:
            raise RefusedRequest(Status.NO_SUCH_SOP_INSTANCE)
        if command.action_type_id != REQUEST_COMMITMENT:
            raise RefusedRequest(Status.NO_SUCH_ACTION_TYPE)
        if information is None or len(information) > LARGEST:
            raise RefusedRequest(Status.RESOURCE_LIMITATION, "no list of instances, or too long a one")
        try:
            action = read_action(information, transfer_syntax)
        except ValueError as error:
            raise RefusedRequest(Status.INVALID_ARGUMENT_VALUE, str(error)) from error
        if not self._can_be_called_back(requestor):
            log.warning("no storage commitment for %s: no zone serves this AE title", requestor)
            comment = "nobody can call this AE title back"
            raise RefusedRequest(Status.PROCESSING_FAILURE, comment, outcome="not-callable")
        return action

    async def _keep(
        self,
        asked_on: AssociationAsked,
        action: CommitmentAction,
        information: bytes,
        *,
        transfer_syntax: str,
        titles: tuple[str, str],
        spools: Sequence[SpoolSubjects],
        confirms: bool,
    ) -> None:
        """Keep a request on disk.

        Raises:
            RefusedRequest: it can't be kept.
        """
        called, calling = titles
        request_id = id_of(called, calling, action.transaction)  # the same for one that is sent again
        try:
            request = CommitmentRequest(
                request_id=request_id,
                transfer_syntax=transfer_syntax,
                called_ae=called,
                calling_ae=calling,
                destinations=tuple(
                    [
                        WaitedFor(
                            destination=(spool.behind_hooks if spool.is_before_hooks else spool).label,
                            entrance=spool.label if spool.is_before_hooks else "",
                            horizon=await self._known.horizon(spool),
                            confirms=confirms,
                        )
                        for spool in spools
                    ]
                ),
                instances=len(action.references),
                received=time.time(),
                owner=self._me,
                secret=uuid.uuid4().hex if confirms else None,
            )
            sequence = await self._store.put(request, information)
        except MeshError as error:
            log.error("a request of %s for storage commitment is refused: %s", calling, error)  # noqa: TRY400
            full = isinstance(error, StreamFull)
            raise RefusedRequest(
                Status.RESOURCE_LIMITATION if full else Status.PROCESSING_FAILURE,
                "the list of requests is full" if full else "the request can't be kept",
            ) from error
        self._own[request_id] = PendingCommitment(sequence, request, information)
        self._asked_on[request_id] = asked_on
        self._woken.set()

    def _can_be_called_back(self, title: str) -> bool:
        """Tell whether an executor serves an AE title."""
        if any(remote.ae_title == title for remote in self._context.settings.scu.remote_aes):
            return True
        return any(
            instance.address.role is Role.SCU and title in instance.heartbeat.associations
            for instance in self._context.liveness.instances
        )

    # --- reports

    async def run(self) -> None:
        """Report, until cancelled."""
        loop = asyncio.get_running_loop()
        next_whole_look = 0.0
        async with anyio.create_task_group() as tasks:
            while True:
                try:
                    if loop.time() >= next_whole_look:
                        await self._look_at_others()
                        next_whole_look = loop.time() + WHOLE_LOOK
                    for pending in list(self._own.values()):
                        await self._look_at(pending, tasks)
                except MeshError as error:
                    log.debug("requests for storage commitment can't be seen: %s", error)
                self._counters.pending = len(self._own)
                self._woken.clear()
                with anyio.move_on_after(BRISK if self._own else WHOLE_LOOK / 2):
                    await self._woken.wait()

    async def _look_at_others(self) -> None:
        """Take over the requests whose owners have died."""
        living = {instance.address.tokens for instance in self._context.liveness.instances}
        orphans: dict[str, float] = {}
        async for pending in self._store.since(0):
            request = pending.request
            if request.request_id in self._own or request.owner in living:
                continue
            since = self._orphans.get(request.request_id, time.monotonic())
            if time.monotonic() - since < ORPHANED and request.owner != self._me:
                orphans[request.request_id] = since
                continue
            await self._update(pending, request.model_copy(update={"owner": self._me}))
        self._orphans = orphans

    async def _update(self, pending: PendingCommitment, request: CommitmentRequest) -> None:
        """Keep a new state of a request, unless another front-end was faster.

        Raises:
            MeshError: NATS is away.
        """
        try:
            sequence = await self._store.put(request, pending.information, replaces=pending.sequence)
        except WrongLastSequence:
            self._forget(request.request_id)
            return
        except JetStreamRefusal as error:  # no room, for example
            log.warning("the state of a request for storage commitment can't be kept: %s", error)
            if request.request_id not in self._own:
                return
            sequence = pending.sequence
        self._own[request.request_id] = PendingCommitment(sequence, request, pending.information)

    def _forget(self, request_id: str) -> None:
        for kept in (self._own, self._looked, self._asked_on):
            kept.pop(request_id, None)

    async def _look_at(self, pending: PendingCommitment, tasks: TaskGroup) -> None:
        """Report on a request if it can be, and it is time to.

        Raises:
            MeshError: what is known of its instances can't be read.
        """
        try:
            await self._report_if_known(pending, tasks)
        except MeshError:
            raise
        except Exception as error:  # noqa: BLE001 - other commitments, and all associations, go on
            report("a look at a request for storage commitment", error)

    async def _report_if_known(self, pending: PendingCommitment, tasks: TaskGroup) -> None:
        request, loop = pending.request, asyncio.get_running_loop()
        if request.request_id in self._reporting or loop.time() < self._looked.get(request.request_id, 0.0):
            return
        if request.next_attempt is not None and time.time() < request.next_attempt:
            return
        age = time.time() - request.received
        self._looked[request.request_id] = loop.time() + min(SLOW, max(BRISK, age / 10))
        try:
            action = read_action(pending.information, request.transfer_syntax)
        except ValueError:
            log.error(  # noqa: TRY400 - the error's text says nothing more
                "a request of %s for storage commitment can't be read any more", request.calling_ae
            )
            await self._remove(pending, "lost")
            return
        fates = [
            (await self._known.fates(waited_for, action), waited_for.confirms)
            for waited_for in request.destinations
            if waited_for in self._known
        ]
        is_over = age > self._context.settings.spool.commitment_age
        result = decide(action, [each for each, _ in fates], is_over=is_over)
        if result is not None:
            confirming = [each for each, confirms in fates if confirms]
            result, awaits = await self._confirming.confirm(request, result, confirming, is_over=is_over)
            if result is None and awaits[:256] != request.awaits:
                await self._update(pending, request.model_copy(update={"awaits": awaits[:256]}))
        if result is not None:
            self._reporting.add(request.request_id)
            tasks.start_soon(self._report, pending, result)

    async def _report(self, pending: PendingCommitment, result: CommitmentResult) -> None:
        try:
            await self._try_to_report(pending, result)
        except Exception as error:  # noqa: BLE001 - other commitments, and all associations, go on
            report("the report of a storage commitment", error)
        finally:
            self._reporting.discard(pending.request.request_id)

    async def _try_to_report(self, pending: PendingCommitment, result: CommitmentResult) -> None:
        request = pending.request
        try:
            await self._reporter.report(request, result, self._asked_on.get(request.request_id))
        except ReportFailed as failure:
            self._asked_on.pop(request.request_id, None)
            await self._failed(pending, str(failure))
        else:
            log.info(
                "storage commitment for %s is reported: %d instances, %d of them failed",
                request.calling_ae,
                request.instances,
                len(result.failed),
            )
            if self._events is not None:
                await self._events.reported(request, failed=len(result.failed))
            await self._remove(pending, "failures-reported" if result.failed else "reported")

    async def _failed(self, pending: PendingCommitment, trouble: str) -> None:
        request, now = pending.request, time.time()
        self._counters.count("report-failed")
        first = request.first_attempt or now
        if now - first > self._context.settings.spool.commitment_age:
            log.error("storage commitment for %s is given up: %s", request.calling_ae, trouble)
            await self._remove(pending, "given-up")
            return
        settings = self._context.settings.delivery.retry
        wait = pause_after(request.attempts + 1, settings)
        log.warning(
            "storage commitment for %s can't be reported: %s; trying again in %.1f s",
            request.calling_ae,
            trouble,
            wait,
        )
        changed = request.model_copy(
            update={
                "attempts": request.attempts + 1,
                "first_attempt": first,
                "next_attempt": now + wait,
                "trouble": trouble[:256],
            }
        )
        try:
            await self._update(pending, changed)
        except MeshError:  # NATS is away: it is tried again all the same
            self._own[request.request_id] = PendingCommitment(pending.sequence, changed, pending.information)

    async def _remove(self, pending: PendingCommitment, outcome: str) -> None:
        self._counters.count(outcome)
        try:
            await self._store.remove(pending)
        except MeshError as error:  # it is reported again, by whoever finds it
            log.warning("a reported storage commitment can't be removed: %s", error)
        finally:  # not before: what stands there, and isn't our own, is taken over
            if self._own.get(pending.request.request_id) is pending:
                self._forget(pending.request.request_id)
