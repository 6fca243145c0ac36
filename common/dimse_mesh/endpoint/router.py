"""The halves of one instance: what arrives on its subjects goes to the right one, and its timers are theirs.

One subscription a subject for the whole instance, one timer for all acknowledgements, one for all deadlines: an idle
association costs neither messages nor wake-ups.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from dimse_mesh.dimse import CommandSet, DimseError, FailureReason, failure_status_for, parse_head
from dimse_mesh.endpoint.carrier import Carrier, DeathWatcher
from dimse_mesh.endpoint.connection import RECEIVE_BUFFER_SIZE, PeerConnection
from dimse_mesh.endpoint.courier import Courier
from dimse_mesh.endpoint.identity import handler_of
from dimse_mesh.endpoint.openings import Openings
from dimse_mesh.endpoint.patrol import Patrol
from dimse_mesh.endpoint.peer import PROVIDER_ABORT
from dimse_mesh.endpoint.pending_aborts import PendingAborts
from dimse_mesh.endpoint.ports import Half
from dimse_mesh.endpoint.settings import HalfSettings
from dimse_mesh.mesh import EnvelopeError, Message, unpack
from dimse_mesh.mesh.complaints import Complaints
from dimse_mesh.mesh.errors import report
from dimse_mesh.runtime.counters import Counters, Load
from dimse_mesh.runtime.telemetry import Telemetry
from dimse_mesh.runtime.tracing import traceparent_in
from dimse_mesh.schemas.addresses import HalfAddress, InstanceAddress, Role
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
from dimse_mesh.schemas.subjects import Kind
from dimse_mesh.streams.congestion import CongestionWindow, CongestionWindows
from dimse_mesh.streams.inbound import Arrival
from dimse_mesh.streams.outbound import Budget
from dimse_mesh.upper_layer import Abort

log = logging.getLogger(__name__)

SWEEP_INTERVAL = 0.25
"""Seconds between looks at deadlines, while there is anything to look at."""
UNHANDLED_INTERVAL = 0.2
"""Seconds until an operation whose queue group was empty is asked again."""


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
    ) -> None:
        self._mesh = mesh
        self.courier = Courier(mesh)
        self._liveness = liveness
        self._complaints = Complaints(log)
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self.telemetry = telemetry
        self.counters = counters
        self.settings = settings
        self.budget = Budget(settings.max_buffered)
        self._congestion = CongestionWindows(self._loop)
        self._receive_buffer = bytearray(RECEIVE_BUFFER_SIZE)
        self._halves: dict[int, Half] = {}
        self._next_channel = random.getrandbits(31)
        self._acknowledging: set[Half] = set()
        self._watched: set[Half] = set()
        self._released: set[Half] = set()
        self._pending_aborts = PendingAborts(self.courier)
        self._sweeping: asyncio.TimerHandle | None = None
        self.patrol = Patrol(self._halves, settings)
        self.openings = Openings(liveness, self._abandon)
        self._unhandled: set[Half] = set()
        self._down_since: float | None = None
        counters.load = self.load

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Subscribe the instance's private subjects; on leaving abort every half that is left."""
        subjects, subscribe = self._mesh.subjects, self._mesh.subscribe
        subscriptions = [
            await subscribe(subjects.mine(Kind.LINK), self._on_frames),
            await subscribe(subjects.mine(Kind.DATA), self._on_frames, bulk=True),
            await subscribe(subjects.mine(Kind.OP), self._on_approved),
            await subscribe(subjects.mine(Kind.REFUSED), self._on_refused),
            await subscribe(subjects.unserved("*"), self._on_unserved),
        ]
        self._mesh.on_change(self._mesh_changed)
        self._mesh.on_bulk_room(self._send_unsent)
        self._liveness.on_dead(self._instance_died)
        try:
            yield
        finally:
            self._each(self._halves.values(), lambda half: half.abort("instance-stops"))
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
        return self.courier.idle and not (
            self._halves
            or self._acknowledging
            or self._watched
            or self._released
            or self._pending_aborts
            or self.openings.channels
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
        self._acknowledging.discard(half)
        self._watched.discard(half)
        remote = half.identity.remote
        if keep:
            self._released.add(half)
            self._schedule_sweep()
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
        self._schedule_sweep()

    def frame_of_stranger(self, half: Half, frame: Frame, sender: InstanceAddress) -> bool:
        """Handle a frame of another one than the half's remote: it was given up, or is being waited for.

        True: it has our `OpenRequest`, and the association stands for it, so the segment may be ours.
        """
        channel = half.identity.local.channel
        kind = frame.kind
        if kind == FrameKind.RESET:
            stranger = _half_in(frame, sender)
            self._pending_aborts.answered(channel, stranger)
            self.openings.gone(channel, stranger)
        elif kind == FrameKind.TAKEN:
            self._taken(frame, sender)
        elif kind == FrameKind.PROBE:
            if self._taken(frame, sender):
                self.openings.reply_lost(channel)
        elif half.identity.remote is None and self._is_taker(channel, sender):
            if kind < FrameKind.ACK:
                return True
            if kind in {FrameKind.ACK, FrameKind.NACK}:
                self.openings.reply_lost(channel)
        return False

    def _is_taker(self, channel: int, sender: InstanceAddress) -> bool:
        return any(taker.instance == sender for taker in self.openings.takers(channel))

    def probe_takers(self, local: HalfAddress) -> None:
        """Ask the executors that took our `OpenRequest` whether they still have it."""
        for taker in self.openings.takers(local.channel):
            self.courier.send_probe(taker, local, consumed=0)

    def _taken(self, frame: Frame, sender: InstanceAddress) -> bool:
        """Note who has taken our `OpenRequest`, or tell it that nobody wants it any more."""
        taker = _half_in(frame, sender)
        if sender.role is Role.SCU and self.openings.took(frame.channel, taker):
            return True
        self.courier.send_reset(taker, frame.channel)
        return False

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
                if half is None:
                    self._unknown_channel(frame, sender)
                elif remote is None or remote.instance != sender:
                    if self.frame_of_stranger(half, frame, sender):
                        half.frame_received(frame)
                elif half in self._released:
                    self._after_release(half, frame)
                elif frame.kind == FrameKind.MESSAGE and message.headers:
                    traceparent = traceparent_in(message.headers)
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
                    half.operation_approved(arrival, frame.acknowledged)
                else:
                    half.frame_received(frame)
                    if frame.kind == FrameKind.ABORT:
                        self._reset(frame, sender)
        except FrameError:
            self._complaints.dropped("malformed frames", sender)

    def _after_release(self, half: Half, frame: Frame) -> None:
        remote = half.identity.remote
        assert remote is not None
        if frame.kind == FrameKind.ABORT:
            self._reset(frame, remote.instance)
        if frame.kind in {FrameKind.ABORT, FrameKind.RESET} or not half.still_unacknowledged(frame):
            self._released.discard(half)
            self._forget(half)

    def _unknown_channel(self, frame: Frame, sender: InstanceAddress) -> None:
        kind = frame.kind
        if kind not in {FrameKind.RESET, FrameKind.TAKEN, FrameKind.PROBE, FrameKind.ABORT}:
            return
        remote = _half_in(frame, sender)
        if kind == FrameKind.RESET:
            self._pending_aborts.answered(frame.channel, remote)
            self.openings.give_up(frame.channel, remote)
        elif kind == FrameKind.PROBE and self.openings.has(frame.channel, remote):
            self.courier.send_taken(remote, HalfAddress(self._mesh.address, frame.channel))
        else:
            if kind == FrameKind.ABORT:
                self.openings.give_up(frame.channel, remote)
            self.courier.send_reset(remote, frame.channel)

    def _reset(self, frame: Frame, sender: InstanceAddress) -> None:
        self.courier.send_reset(_half_in(frame, sender), frame.channel)

    def _on_approved(self, message: Message) -> None:
        """Take an operation from a handler that owns it, in the home zone of the association that it belongs to."""
        try:
            request, tail = unpack(OperationRequest, message.payload)
            command, data = tail[: request.command_length], tail[request.command_length :]
            head = parse_head(bytes(command))
        except (EnvelopeError, DimseError):
            self._complaints.dropped("a malformed operation", message.sender)
            return
        half = self._halves.get(request.sink_channel)
        if half is None or half in self._released:
            return
        handler, home_zone = message.sender, half.identity.home_zone
        remote = half.identity.remote
        sources = self.openings.takers(request.sink_channel) if remote is None else (remote,)
        if (
            handler is None
            or not handler.is_handler_of(handler_of(head.command_field), home_zone)
            or not any(map(request.is_from, sources))
        ):
            self._complaints.dropped("an operation, which its sender may not approve", handler)
            return
        traceparent = traceparent_in(message.headers)
        half.operation_approved(
            Arrival(
                request.position,
                request.span,
                FrameKind.MESSAGE,
                WHOLE if request.whole else 0,
                request.context_id,
                memoryview(encode_message_payload(bytes(command), data)),
                traceparent,
                approved=True,
            ),
            request.acknowledged,
        )

    def _on_unserved(self, message: Message) -> None:
        """Ask again: no handler is there just now, since one is being restarted."""
        channel = message.subject.rpartition(".")[2]
        half = self._halves.get(int(channel)) if message.no_responders and channel.isdecimal() else None
        if half is None:
            return
        if not self._unhandled:
            self._loop.call_later(UNHANDLED_INTERVAL, self._ask_again)
        self._unhandled.add(half)

    def _on_refused(self, message: Message) -> None:
        try:
            refusal, tail = unpack(Refusal, message.payload)
            status = CommandSet.parse(bytes(tail)).status
        except (EnvelopeError, DimseError):
            self._complaints.dropped("a malformed refusal", message.sender)
            return
        if status is None:
            status = failure_status_for(0, FailureReason.NOT_AUTHORIZED)
        half = self._halves.get(refusal.channel)
        if half is None or message.sender is None:
            return
        if half in self._released:
            if message.sender.zone == half.identity.home_zone:
                self._give_up(half)  # the other endpoint waits for what it will never get
        else:
            half.operation_refused(refusal.position, status, refusal.code, by=message.sender)

    # time

    def acknowledge_later(self, half: Half) -> None:
        """Acknowledge within `ack_delay`, unless another frame carries it before."""
        if not self._acknowledging:
            self._loop.call_later(self.settings.ack_delay, self._acknowledge)
        self._acknowledging.add(half)

    def _acknowledge(self) -> None:
        halves, self._acknowledging = self._acknowledging, set()
        self._each(halves, lambda half: half.acknowledge_if_owed())

    def _each(self, halves: Iterable[Half], action: Callable[[Half], object]) -> None:
        """Do something for each of some halves. An error of ours ends its association and no other."""
        for half in list(halves):
            try:
                action(half)
            except Exception as error:  # noqa: BLE001 - the others must have their turn, and the timer its next round
                report(f"an association ({half.identity.association})", error)
                self._watched.discard(half)
                self._released.discard(half)
                try:
                    half.abort("internal-error")
                except Exception:  # noqa: BLE001 - it can't even be ended in order
                    self.unregister(half)

    def watch(self, half: Half) -> None:
        """Look at the half's deadlines until its `sweep` says that nothing is outstanding."""
        self._watched.add(half)
        self._schedule_sweep()

    def _schedule_sweep(self) -> None:
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(SWEEP_INTERVAL, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        now = self.now()
        try:
            self._each(self._watched, lambda half: self._sweep_one(half, now))
            self._each(self._released, lambda half: self._sweep_released(half, now))
            self._pending_aborts.repeat(now)
        finally:
            if self._watched or self._released or self._pending_aborts:
                self._schedule_sweep()

    def _sweep_one(self, half: Half, now: float) -> None:
        if not half.sweep(now):
            self._watched.discard(half)

    def _sweep_released(self, half: Half, now: float) -> None:
        if not half.sweep_after_end(now):
            self._give_up(half)

    def _send_unsent(self) -> None:
        self._each(self._watched, lambda half: half.send_unsent())
        self._each(self._released, lambda half: half.sender.send_again(unsent_only=True))

    def _ask_again(self) -> None:
        halves, self._unhandled = self._unhandled, set()
        self._each(halves, lambda half: half.ask_handlers_again())

    def _mesh_changed(self, connected: bool) -> None:
        if not connected:
            self._down_since = self.now()
            return
        self._down_since = None
        self.openings.mesh_returned()
        self._each(self._halves.values(), lambda half: half.mesh_returned())

    def _instance_died(self, instance: InstanceAddress) -> None:
        self.openings.instance_died(instance)
        self._each(self._halves.values(), lambda half: self._other_end_died(half, instance))
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


def _half_in(frame: Frame, sender: InstanceAddress) -> HalfAddress:
    """Return the sender's half of an association that a frame's payload names.

    Raises:
        FrameError: it names none.
    """
    payload = frame.payload[2:] if frame.kind == FrameKind.ABORT else frame.payload
    return HalfAddress(sender, decode_u32(payload))
