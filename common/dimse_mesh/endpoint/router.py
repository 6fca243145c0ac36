"""The halves of one instance: what arrives on its subjects goes to the right one, and its timers are theirs.

One subscription a subject for the whole instance, one timer for all acknowledgements, one for all deadlines: an idle
association costs neither messages nor wake-ups.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from dimse_mesh.endpoint.carrier import Carrier, DeathWatcher
from dimse_mesh.endpoint.connection import READ_SIZE, PeerConnection
from dimse_mesh.endpoint.courier import Courier
from dimse_mesh.endpoint.handler_answers import HandlerAnswers
from dimse_mesh.endpoint.openings import Openings
from dimse_mesh.endpoint.patrol import Patrol
from dimse_mesh.endpoint.peer import PROVIDER_ABORT
from dimse_mesh.endpoint.pending_aborts import PendingAborts
from dimse_mesh.endpoint.ports import Half
from dimse_mesh.endpoint.settings import HalfSettings
from dimse_mesh.endpoint.strangers import Strangers
from dimse_mesh.endpoint.time_shares import TimeShares
from dimse_mesh.endpoint.timers import HalfTimers
from dimse_mesh.mesh import Message, ReceiveBlocks
from dimse_mesh.mesh.complaints import Complaints
from dimse_mesh.runtime.counters import Counters, Load
from dimse_mesh.runtime.hosted_handlers import HostedHandler
from dimse_mesh.runtime.telemetry import Telemetry
from dimse_mesh.runtime.tracing import traceparent_in
from dimse_mesh.schemas.addresses import HalfAddress, InstanceAddress, Role
from dimse_mesh.schemas.frames import Frame, FrameError, FrameKind, iter_frames
from dimse_mesh.schemas.subjects import Kind
from dimse_mesh.streams.congestion import CongestionWindow, CongestionWindows
from dimse_mesh.streams.inbound import Arrival
from dimse_mesh.streams.outbound import Budget
from dimse_mesh.upper_layer import Abort

log = logging.getLogger(__name__)


class Router:
    """Registry of an instance's halves.

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
        settings: HalfSettings,
        hosted: Mapping[str, HostedHandler] | None = None,
    ) -> None:
        self._mesh = mesh
        self.courier = Courier(mesh, hosted)
        self._liveness = liveness
        self._complaints = Complaints(log)
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self.telemetry = telemetry
        self.counters = counters
        self.settings = settings
        self.budget = Budget(settings.max_buffered)
        self._congestion = CongestionWindows(self._loop)
        self._blocks = ReceiveBlocks(read_size=READ_SIZE)
        self.shares = TimeShares()
        """Of the event loop, between the connections."""
        self._halves: dict[int, Half] = {}
        self._next_channel = random.getrandbits(31)
        self._pending_aborts = PendingAborts(self.courier)
        self.patrol = Patrol(self._halves, settings)
        self.openings = Openings(liveness, self._abandon)
        self._strangers = Strangers(mesh.address, self.courier, self.openings, self._pending_aborts)
        self._timers = HalfTimers(
            ack_delay=settings.ack_delay,
            pending_aborts=self._pending_aborts,
            give_up=self._give_up,
            unregister=self.unregister,
        )
        self._released = self._timers.released
        self._answers = HandlerAnswers(
            self._halves,
            openings=self.openings,
            timers=self._timers,
            complaints=self._complaints,
            give_up=self._give_up,
        )
        self._down_since: float | None = None
        counters.load = self.load

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Subscribe the instance's private subjects; on leaving abort every half that is left."""
        subjects, subscribe = self._mesh.subjects, self._mesh.subscribe
        subscriptions = [
            await subscribe(subjects.mine(Kind.LINK), self._on_frames),
            await subscribe(subjects.mine(Kind.DATA), self._on_frames, bulk=True),
            await subscribe(subjects.mine(Kind.OP), self._answers.approved),
            await subscribe(subjects.mine(Kind.REFUSED), self._answers.refused),
            await subscribe(subjects.unserved("*"), self._answers.unserved),
        ]
        self._mesh.on_change(self._mesh_changed)
        self._mesh.on_bulk_room(self._timers.send_unsent)
        self._liveness.on_dead(self._instance_died)
        try:
            yield
        finally:
            self._timers.each(self._halves.values(), lambda half: half.abort("instance-stops"))
            self.courier.flush()
            self.patrol.stop()
            self._timers.stop()
            for subscription in subscriptions:
                await subscription.unsubscribe()

    # connections to peers

    @property
    def live_seconds(self) -> float:
        """How long live associations have had the event loop by what they sent, in all."""
        return self.shares.live_seconds

    def new_connection(
        self, *, max_length: int, on_connected: Callable[[PeerConnection], None] | None = None
    ) -> PeerConnection:
        """Return the protocol of a connection to a DICOM peer, for the event loop to connect."""
        return PeerConnection(
            self._blocks,
            self._mesh.turn,
            self.shares,
            max_length=max_length,
            on_connected=on_connected,
        )

    # halves

    @property
    def connected(self) -> bool:
        """Whether the mesh can be reached."""
        return self._mesh.connected

    def outage(self, now: float) -> float:
        """Return for how many seconds the mesh could not be reached; 0: it can."""
        return 0.0 if self._down_since is None else now - self._down_since

    def congestion_window_to(self, instance: InstanceAddress) -> CongestionWindow:
        """Return what may be under way to an instance."""
        return self._congestion.to(instance)

    @property
    def remembers_nothing(self) -> bool:
        """Whether no half, opening, timer or frame of one is left."""
        return (
            self.courier.idle
            and self._timers.idle
            and not (self._halves or self._pending_aborts or self.openings.channels)
        )

    def __len__(self) -> int:
        return len(self._halves)

    def load(self) -> Load:
        """Return what all halves carry now."""
        sums = map(sum, zip(Load(), *(half.load for half in self._halves.values()), strict=True))
        return Load(*sums)._replace(
            unacknowledged=self.budget.used,
            unacknowledged_limit=self.budget.limit,
            remembered=len(self._halves.keys() | self.openings.channels | self._pending_aborts.channels),
        )

    def new_address(self) -> HalfAddress:
        """Return the address for a half of an association in this instance."""
        self._next_channel = (self._next_channel + 1) & 0xFFFFFFFF
        return HalfAddress(self._mesh.address, self._next_channel)

    def register(self, half: Half) -> None:
        """Let a half receive frames, from before the other side knows its channel."""
        self._halves[half.identity.local.channel] = half

    def unregister(self, half: Half) -> None:
        """Forget a half that was never established."""
        self._halves.pop(half.identity.local.channel, None)

    def abort(self, channel: int, code: str) -> None:
        """Abort the half of one of our channels, if it stands."""
        half = self._halves.get(channel)
        if half is not None:
            half.abort(code)

    def linked(self, half: Half) -> None:
        """Note that a half knows its other end: watch that instance."""
        assert half.identity.remote is not None
        self._liveness.watch(half.identity.remote.instance)
        self.patrol.begin()

    def ended(self, half: Half, *, tell: Abort | None, keep: bool) -> None:
        """Forget a half, when the other endpoint knows.

        Args:
            half: its association has ended.
            tell: what the other endpoint must be told, if it ended here.
            keep: what was sent last, the end itself included, is not acknowledged yet.
        """
        self._timers.ended(half, keep=keep)
        remote = half.identity.remote
        if keep:
            return
        self._forget(half)
        if tell is not None and remote is not None:
            self.tell_abort(half.identity.local, remote, tell)

    def _forget(self, half: Half) -> None:
        half.forgotten()
        if (
            self._halves.pop(half.identity.local.channel, None) is not None
            and half.identity.remote is not None
        ):
            self._liveness.unwatch(half.identity.remote.instance)

    def _give_up(self, half: Half) -> None:
        """End at once on the other side what can't end in order."""
        self._released.discard(half)
        self._forget(half)
        if half.identity.remote is not None:
            self.tell_abort(half.identity.local, half.identity.remote, PROVIDER_ABORT)

    def tell_abort(self, local: HalfAddress, remote: HalfAddress, abort: Abort) -> None:
        """Tell the other endpoint that the association is over, until it answers or is dead."""
        self._pending_aborts.tell(local, remote, abort)
        self._timers.sweep_later()

    def watch(self, half: Half) -> None:
        """Look at the half's deadlines until its `sweep` says that nothing is outstanding."""
        self._timers.watch(half)

    def call_later(self, half: Half, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        """Do something for a half in so many seconds; an error of ours ends its association and no other."""
        return self._timers.call_later(half, seconds, action)

    def acknowledge_later(self, half: Half) -> None:
        """Acknowledge within `ack_delay`, unless another frame carries it before."""
        self._timers.acknowledge_later(half)

    def frame_of_stranger(self, half: Half, frame: Frame, sender: InstanceAddress) -> bool:
        """Handle a frame of another one than the half's remote: it was given up, or is being waited for.

        True: it has our `OpenRequest`, and the association stands for it, so the segment may be ours.
        """
        return self._strangers.half_received(half, frame, sender)

    def probe_takers(self, local: HalfAddress) -> None:
        """Ask the executors that took our `OpenRequest` whether they still have it."""
        for taker in self.openings.takers(local.channel):
            self.courier.send_probe(taker, local, consumed=0)

    def _abandon(self, channel: int, taker: HalfAddress) -> None:
        local = HalfAddress(self._mesh.address, channel)
        self.tell_abort(local, taker, PROVIDER_ABORT)

    # what arrives

    def _on_frames(self, message: Message) -> None:
        sender = message.sender
        if sender is None or not self._may_be_other_end(sender):
            self._complaints.dropped("frames, which only another endpoint sends", sender)
            return
        try:
            for frame in iter_frames(message.payload):
                half = self._halves.get(frame.channel)
                remote = None if half is None else half.identity.remote
                from_other_end = remote is not None and remote.instance == sender
                try:
                    if half is None:
                        self._strangers.unknown_channel(frame, sender)
                    elif from_other_end:
                        self._on_frame(half, frame, sender, message.headers)
                    elif self._strangers.half_received(half, frame, sender):
                        half.frame_received(frame)
                except FrameError:
                    raise
                except Exception as error:  # noqa: BLE001 - the frames behind it are other associations'
                    # What strangers say ends nothing.
                    self._timers.failed(half if from_other_end else None, error)
        except FrameError:
            self._complaints.dropped("malformed frames", sender)

    def _on_frame(
        self, half: Half, frame: Frame, sender: InstanceAddress, headers: Mapping[str, str] | None
    ) -> None:
        """Give a half a frame of its other end."""
        if half in self._released:
            self._after_release(half, frame, sender)
        elif frame.kind == FrameKind.MESSAGE and headers:
            arrival = Arrival.of(frame, traceparent_in(headers))
            half.operation_approved(arrival, frame.acknowledged)
        else:
            half.frame_received(frame)
            if frame.kind == FrameKind.ABORT:
                self._strangers.answer_abort(frame, sender)

    def _after_release(self, half: Half, frame: Frame, sender: InstanceAddress) -> None:
        if frame.kind == FrameKind.ABORT:
            self._strangers.answer_abort(frame, sender)
        if frame.kind in {FrameKind.ABORT, FrameKind.RESET} or not half.still_unacknowledged(frame):
            self._released.discard(half)
            self._forget(half)

    # what changes around it

    def _mesh_changed(self, connected: bool) -> None:
        if not connected:
            self._down_since = self.now()
            return
        self._down_since = None
        self.openings.mesh_returned()
        self._timers.each(self._halves.values(), lambda half: half.mesh_returned())

    def _instance_died(self, instance: InstanceAddress) -> None:
        self.openings.instance_died(instance)
        self._timers.each(self._halves.values(), lambda half: self._other_end_died(half, instance))
        self._pending_aborts.instance_died(instance)
        self._congestion.forget(instance)

    def _other_end_died(self, half: Half, instance: InstanceAddress) -> None:
        if half.identity.remote is None or half.identity.remote.instance != instance:
            return
        if half in self._released:
            self._released.discard(half)
            self._forget(half)
        else:
            half.instance_died()

    def _may_be_other_end(self, sender: InstanceAddress) -> bool:
        """Tell whether a role can hold the other half of an association: an executor a front-end's, and vice versa."""
        return sender.role is Role.SCU if self._mesh.address.is_front_end else sender.is_front_end
