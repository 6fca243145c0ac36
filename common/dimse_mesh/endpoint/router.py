"""The links of one instance: what arrives on its subjects goes to the right one, and its timers are theirs.

One subscription a subject for the whole instance, one timer for all acknowledgements, one for all deadlines: an idle
association costs neither messages nor wake-ups.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from dimse_mesh.dimse import CommandSet, DimseError, FailureReason, failure_status_for
from dimse_mesh.endpoint.carrier import Carrier, DeathWatcher
from dimse_mesh.endpoint.connection import RECEIVE_BUFFER_SIZE, PeerConnection
from dimse_mesh.endpoint.courier import Courier
from dimse_mesh.endpoint.inbound import Arrival
from dimse_mesh.endpoint.openings import Openings
from dimse_mesh.endpoint.outbound import Budget
from dimse_mesh.endpoint.path import Paths
from dimse_mesh.endpoint.patrol import Patrol
from dimse_mesh.endpoint.pending_aborts import PendingAborts
from dimse_mesh.endpoint.settings import LinkSettings
from dimse_mesh.mesh import Delivery, EnvelopeError, unpack
from dimse_mesh.runtime.counters import Counters, Load
from dimse_mesh.runtime.telemetry import Telemetry
from dimse_mesh.runtime.tracing import traceparent_in
from dimse_mesh.schemas.association import Endpoint
from dimse_mesh.schemas.frames import (
    WHOLE,
    Frame,
    FrameError,
    FrameKind,
    decode_u32,
    encode_message_payload,
    iter_frames,
    segment_span,
)
from dimse_mesh.schemas.operation import OperationRequest, Refusal
from dimse_mesh.upper_layer import Abort, AbortReason, AbortSource

if TYPE_CHECKING:
    from dimse_mesh.endpoint.link import Link

log = logging.getLogger(__name__)

SWEEP_INTERVAL = 0.25
"""Seconds between looks at deadlines, while there is anything to look at."""
UNHANDLED_INTERVAL = 0.2
"""Seconds until an operation whose queue group was empty is asked again."""


class Router:
    """Registry of an instance's links.

    Args:
        liveness: tells which instances died.
    """

    def __init__(
        self,
        *,
        mesh: Carrier,
        liveness: DeathWatcher,
        telemetry: Telemetry,
        counters: Counters,
        settings: LinkSettings,
    ) -> None:
        self._mesh = mesh
        self.courier = Courier(mesh)
        self._liveness = liveness
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self.telemetry = telemetry
        self.counters = counters
        self.settings = settings
        self.budget = Budget(settings.max_buffered)
        self.paths = Paths()
        self._receive_buffer = bytearray(RECEIVE_BUFFER_SIZE)
        self._links: dict[int, Link] = {}
        self._next_channel = random.getrandbits(31)
        self._acknowledging: set[Link] = set()
        self._watched: set[Link] = set()
        self._released: set[Link] = set()
        self._pending_aborts = PendingAborts(self.courier)
        self._sweeping: asyncio.TimerHandle | None = None
        self.patrol = Patrol(self._links, settings)
        self.openings = Openings(liveness, self._abandon)
        self._unhandled: set[Link] = set()
        self._down_since: float | None = None
        counters.load = self.load

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Subscribe the instance's private subjects; on leaving abort every link that is left."""
        subjects, instance = self._mesh.subjects, self._mesh.instance
        subscriptions = [
            await self._mesh.subscribe(subjects.link(instance), self._on_frames),
            await self._mesh.subscribe(subjects.data(instance), self._on_frames, bulk=True),
            await self._mesh.subscribe(subjects.approved(instance), self._on_approved),
            await self._mesh.subscribe(subjects.refused(instance, "*", "*"), self._on_refused),
        ]
        self._mesh.on_change(self._mesh_changed)
        self._mesh.on_bulk_room(self._send_unsent)
        self._liveness.on_dead(self._instance_died)
        try:
            yield
        finally:
            for link in list(self._links.values()):
                link.abort("instance-stops")
            self.courier.flush()
            self.patrol.stop()
            if self._sweeping is not None:
                self._sweeping.cancel()
            for subscription in subscriptions:
                await subscription.unsubscribe()

    # connections

    def new_connection(
        self, *, max_length: int, on_connected: Callable[[PeerConnection], None] | None = None
    ) -> PeerConnection:
        """Return the protocol of a connection to a DICOM peer, for the event loop to connect."""
        return PeerConnection(
            self._receive_buffer, self._mesh.turn, max_length=max_length, on_connected=on_connected
        )

    # links

    @property
    def connected(self) -> bool:
        """Whether the mesh can be reached."""
        return self._mesh.connected

    def outage(self, now: float) -> float:
        """Return for how many seconds the mesh could not be reached; 0: it can."""
        return 0.0 if self._down_since is None else now - self._down_since

    def __len__(self) -> int:
        return len(self._links)

    def load(self) -> Load:
        """Return what all links carry now."""
        sums = map(sum, zip(Load(), *(link.load for link in self._links.values()), strict=True))
        return Load(*sums)._replace(
            unacknowledged=self.budget.used,
            unacknowledged_limit=self.budget.limit,
            remembered=len(self._links.keys() | self.openings.channels | self._pending_aborts.channels),
        )

    def new_endpoint(self) -> Endpoint:
        """Return a fresh endpoint of this instance."""
        self._next_channel = (self._next_channel + 1) & 0xFFFFFFFF
        return Endpoint(instance=self._mesh.instance, channel=self._next_channel)

    def register(self, link: Link) -> None:
        """Let a link receive frames, from before the other side knows its channel."""
        self._links[link.identity.local.channel] = link

    def unregister(self, link: Link) -> None:
        """Forget a link that was never established."""
        self._links.pop(link.identity.local.channel, None)

    def abort(self, channel: int, code: str) -> None:
        """Abort the link of one of our channels, if it stands."""
        link = self._links.get(channel)
        if link is not None:
            link.abort(code)

    def linked(self, link: Link) -> None:
        """Note that a link knows its other end: watch that instance."""
        assert link.identity.remote is not None
        self._liveness.watch(link.identity.remote.instance)
        self.patrol.begin()

    def ended(self, link: Link, *, tell: Abort | None, keep: bool) -> None:
        """Forget a link, when the other endpoint knows.

        Args:
            link: its association has ended.
            tell: what the other endpoint must be told, if it ended here.
            keep: what was sent last is not acknowledged yet.
        """
        self._acknowledging.discard(link)
        self._watched.discard(link)
        remote = link.identity.remote
        if keep:
            self._released.add(link)
            self._schedule_sweep()
            return
        self._forget(link)
        if tell is not None and remote is not None:
            self.tell_abort(link.identity.local, remote, tell)

    def _forget(self, link: Link) -> None:
        link.forgotten()
        if (
            self._links.pop(link.identity.local.channel, None) is not None
            and link.identity.remote is not None
        ):
            self._liveness.unwatch(link.identity.remote.instance)

    def tell_abort(self, local: Endpoint, remote: Endpoint, abort: Abort) -> None:
        """Tell the other endpoint that the association is over, until it answers or is dead."""
        self._pending_aborts.tell(local, remote, abort)
        self._schedule_sweep()

    def stranger_gone(self, link: Link, frame: Frame) -> None:
        """Handle GONE of an endpoint that is not the link's other end: it was given up, or is being waited for."""
        channel = link.identity.local.channel
        self._pending_aborts.answered(channel)
        self.openings.gone(channel, _endpoint_in(frame.payload))

    def stranger_asks(self, link: Link, frame: Frame) -> None:
        """Handle PROBE of an executor that is not the link's other end: it holds an association that nobody wants."""
        channel = link.identity.local.channel
        if link.identity.remote is None:
            self.openings.took(channel, _endpoint_in(frame.payload))
            self.openings.reply_lost(channel)
        else:
            self._answer_gone(frame)

    def probe_takers(self, local: Endpoint) -> None:
        """Ask the executors that took our `OpenRequest` whether they still have it."""
        for taker in self.openings.takers(local.channel):
            self.courier.send_probe(taker, local, consumed=0)

    def taken(self, frame: Frame) -> None:
        """Note who has taken our `OpenRequest`."""
        self.openings.took(frame.channel, _endpoint_in(frame.payload))

    def _abandon(self, channel: int, taker: Endpoint) -> None:
        local = Endpoint(instance=self._mesh.instance, channel=channel)
        self.tell_abort(local, taker, Abort(AbortSource.SERVICE_PROVIDER, AbortReason.NOT_SPECIFIED))

    # what arrives

    def _on_frames(self, delivery: Delivery) -> None:
        try:
            for frame in iter_frames(delivery.payload):
                link = self._links.get(frame.channel)
                if link is None:
                    self._unknown_channel(frame)
                elif link in self._released:
                    self._after_release(link, frame)
                elif frame.kind == FrameKind.MESSAGE and delivery.headers:
                    traceparent = traceparent_in(delivery.headers)
                    span = segment_span(frame.kind, len(frame.payload))
                    arrival = Arrival(
                        frame.position,
                        span,
                        frame.kind,
                        frame.flags,
                        frame.context_id,
                        frame.payload,
                        traceparent,
                    )
                    link.other_end.operation_approved(arrival, frame.acknowledged)
                else:
                    link.other_end.frame_received(frame)
                    if frame.kind == FrameKind.ABORT and link.identity.remote is not None:
                        self._answer_gone(frame)
        except FrameError:
            log.warning("dropped a malformed message on %s", delivery.subject.rsplit(".", 1)[-1])

    def _after_release(self, link: Link, frame: Frame) -> None:
        if frame.kind == FrameKind.ABORT:
            self._answer_gone(frame)
        if frame.kind in {FrameKind.ABORT, FrameKind.GONE} or not link.other_end.still_unacknowledged(frame):
            self._released.discard(link)
            self._forget(link)

    def _unknown_channel(self, frame: Frame) -> None:
        if frame.kind == FrameKind.GONE:
            self._pending_aborts.answered(frame.channel)
        elif frame.kind == FrameKind.TAKEN:
            self.taken(frame)
        elif frame.kind == FrameKind.PROBE and self.openings.has(frame.channel):
            local = Endpoint(instance=self._mesh.instance, channel=frame.channel)
            self.courier.send_taken(_endpoint_in(frame.payload), local)
        elif frame.kind in {FrameKind.PROBE, FrameKind.ABORT}:
            if frame.kind == FrameKind.ABORT:
                self.openings.give_up(frame.channel)
            self._answer_gone(frame)

    def _answer_gone(self, frame: Frame) -> None:
        sender = _endpoint_in(frame.payload[2:] if frame.kind == FrameKind.ABORT else frame.payload)
        self.courier.send_gone(sender, frame.channel)

    def _on_approved(self, delivery: Delivery) -> None:
        try:
            request, tail = unpack(OperationRequest, delivery.payload)
        except EnvelopeError:
            log.warning("dropped a malformed operation")
            return
        link = self._links.get(request.sink.channel)
        if link is None or link in self._released:
            return
        command, data = tail[: request.command_length], tail[request.command_length :]
        traceparent = traceparent_in(delivery.headers)
        link.other_end.operation_approved(
            Arrival(
                request.position,
                request.span,
                FrameKind.MESSAGE,
                WHOLE if request.whole else 0,
                request.context_id,
                memoryview(encode_message_payload(bytes(command), data)),
                traceparent,
            ),
            request.acknowledged,
        )

    def _on_refused(self, delivery: Delivery) -> None:
        channel, position = delivery.subject.split(".")[-2:]
        link = self._links.get(int(channel))
        if link is None or link in self._released:
            return
        if delivery.no_responders:
            # No handler is there just now: one is being restarted. Ask again until the deadline.
            if not self._unhandled:
                self._loop.call_later(UNHANDLED_INTERVAL, self._ask_again)
            self._unhandled.add(link)
            return
        try:
            _, tail = unpack(Refusal, delivery.payload)
            status = CommandSet.parse(bytes(tail)).status
        except (EnvelopeError, DimseError):
            log.warning("dropped a malformed refusal")
            return
        if status is None:
            status = failure_status_for(0, FailureReason.NOT_AUTHORIZED)
        link.other_end.operation_refused(int(position), status)

    # time

    def acknowledge_later(self, link: Link) -> None:
        """Acknowledge within `ack_delay`, unless another frame carries it before."""
        if not self._acknowledging:
            self._loop.call_later(self.settings.ack_delay, self._acknowledge)
        self._acknowledging.add(link)

    def _acknowledge(self) -> None:
        links, self._acknowledging = self._acknowledging, set()
        for link in links:
            link.other_end.acknowledge_if_owed()

    def watch(self, link: Link) -> None:
        """Look at the link's deadlines until its `sweep` says that nothing is outstanding."""
        self._watched.add(link)
        self._schedule_sweep()

    def _schedule_sweep(self) -> None:
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(SWEEP_INTERVAL, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        now = self.now()
        for link in list(self._watched):
            if not link.sweep(now):
                self._watched.discard(link)
        for link in self._released:
            link.deadlines.probe_if_silent(now)
        self._pending_aborts.repeat(now)
        if self._watched or self._released or self._pending_aborts:
            self._schedule_sweep()

    def _send_unsent(self) -> None:
        for link in list(self._watched):
            link.guarded(link.deadlines.send_unsent)

    def _ask_again(self) -> None:
        links, self._unhandled = self._unhandled, set()
        for link in links:
            link.deadlines.ask_handlers_again()

    def _mesh_changed(self, connected: bool) -> None:
        if not connected:
            self._down_since = self.now()
            return
        self._down_since = None
        self.openings.mesh_returned()
        for link in list(self._links.values()):
            link.deadlines.mesh_returned()

    def _instance_died(self, instance: str) -> None:
        self.openings.instance_died(instance)
        for link in list(self._links.values()):
            if link.identity.remote is not None and link.identity.remote.instance == instance:
                if link in self._released:
                    self._released.discard(link)
                    self._forget(link)
                else:
                    link.instance_died()
        self._pending_aborts.instance_died(instance)
        self.paths.forget(instance)


def _endpoint_in(payload: memoryview) -> Endpoint:
    """Return the endpoint that a frame's payload names.

    Raises:
        FrameError: it names none.
    """
    try:
        return Endpoint(channel=decode_u32(payload), instance=bytes(payload[4:]).decode("ascii"))
    except UnicodeDecodeError:
        raise FrameError("not an instance") from None
