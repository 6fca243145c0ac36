"""The deadlines of one half, looked at while something is outstanding, and what happens when one has passed.

no progress for `retransmit_timeout`    the other endpoint is asked what it has received (PROBE)
none for `deadline`                     what it has not received fails; what can't fail alone ends the association
no NATS for `deadline`                  every operation fails
no response for `operation_timeout`     the operation fails
a peer that doesn't read, release or close   the association ends

Each is a silence: what moves meanwhile renews it.
"""

from __future__ import annotations

import math

from dimse_mesh.dimse import FailureReason, failure_status_for
from dimse_mesh.endpoint.half_state import HalfState
from dimse_mesh.endpoint.operations import Operation
from dimse_mesh.endpoint.ports import Half
from dimse_mesh.streams.outbound import Lane
from dimse_mesh.streams.probing import Probing


class Silence:
    """How long a number has not changed."""

    __slots__ = ("_seen", "_since")

    def __init__(self) -> None:
        self._seen: int | None = None
        self._since = 0.0

    def of(self, number: int, now: float) -> float:
        """Return the seconds since it changed, or since the first look."""
        if number != self._seen:
            self._seen, self._since = number, now
        return now - self._since

    def forget(self) -> None:
        """Begin anew with the next look."""
        self._seen = None


class LeastProgress:
    """Whether a number has grown by as much as it should, over each while that it is looked at."""

    __slots__ = ("_number", "_since")

    def __init__(self) -> None:
        self._number = 0
        self._since: float | None = None

    def too_slow(self, number: int, now: float, *, least: int, over: float) -> bool:
        """Tell whether it has grown by less than `least` in the last `over` seconds; only once these are over."""
        if self._since is None or now - self._since >= over:
            slow = self._since is not None and number - self._number < least
            self._number, self._since = number, now
            return slow
        return False

    def forget(self) -> None:
        """Begin anew with the next look."""
        self._since = None


class Deadlines:
    """Of one half, at each `sweep`."""

    __slots__ = (
        "_awaits_close",
        "_awaits_release",
        "_half",
        "_not_taking",
        "_overdue",
        "_pace",
        "_probing",
        "_quiet",
    )

    def __init__(self, half: Half) -> None:
        self._half = half
        self._overdue = False
        self._probing = Probing()
        self._awaits_release = False
        self._awaits_close = False
        self._quiet = Silence()
        """Of our peer."""
        self._not_taking = Silence()
        """Of our peer, while it reads more slowly than we write."""
        self._pace = LeastProgress()
        """The same."""

    @property
    def outstanding(self) -> bool:
        """Whether there is anything to look at."""
        half = self._half
        return (
            not half.sender.outbound.idle
            or len(half.operations) > 0
            or not half.peer.writable
            or self._awaits_release
            or self._awaits_close
        )

    def progress(self) -> None:
        """Note that the other endpoint has received or consumed something."""
        self._half.sender.note_progress(self._half.instance.now())
        self._overdue = False
        self._probing.progress()

    def await_release(self) -> None:
        """From now on our peer owes an A-RELEASE-RP."""
        self._awaits_release = True
        self._look_at_the_end()

    def await_close(self) -> None:
        """Note that our peer has sent its last byte, and waits for the other side's peer to answer and close."""
        self._awaits_close = True
        self._look_at_the_end()

    def _look_at_the_end(self) -> None:
        half = self._half
        self._quiet.of(half.traffic, half.instance.now())
        half.instance.watch(half)

    def sweep_after_end(self, now: float) -> bool:
        """After an end in order: probe if nothing moves; False: the other endpoint has been silent for too long."""
        half = self._half
        outbound = half.sender.outbound
        silence = now - half.sender.progress_at
        if (
            silence > half.settings.deadline
            and half.instance.connected
            and outbound.received < outbound.position
        ):
            return False
        self._probe_if_silent(now)
        return True

    def sweep(self, now: float) -> None:
        """Look at every deadline of a half that has not ended."""
        half = self._half
        sender = half.sender
        settings, outbound = half.settings, sender.outbound
        slow = self._takes_too_little(now)
        if slow:
            half.fail(slow)
            return
        late = self._late_end(now)
        if late:
            half.fail(late)
            return
        self.send_unsent()
        if not outbound.idle:
            silence = now - sender.progress_at
            if silence > settings.deadline and outbound.received < outbound.position:
                self._mesh_deadline_passed()
            else:
                self._probe_if_silent(now)
        if half.instance.outage(now) > settings.deadline:
            for operation in half.operations:
                self._fail_operation(operation, "mesh-deadline")
        if settings.operation_timeout:
            for operation in half.operations:
                if (
                    now - max(operation.last_activity, sender.progress_at, half.receiver.data_at)
                    > settings.operation_timeout
                ):
                    self._fail_operation(operation, "operation-timeout")

    def _takes_too_little(self, now: float) -> str:
        """Return a code if our peer reads nothing of what is written to it, or hardly anything."""
        half = self._half
        peer, settings = half.peer, half.settings
        if peer.writable:
            self._not_taking.forget()
            self._pace.forget()
            return ""
        over, backlog = settings.stalled_write_timeout, peer.backlog
        if self._not_taking.of(backlog, now) > over:
            return "peer-stalled"
        least = int(settings.least_read_rate * over)
        taken = half.receiver.bytes_written - backlog
        return "too-slow-reading" if self._pace.too_slow(taken, now, least=least, over=over) else ""

    def _late_end(self, now: float) -> str:
        """Return a code if our peer should have answered an A-RELEASE-RQ, or closed, long since."""
        if not (self._awaits_release or self._awaits_close):
            return ""
        half = self._half
        settings = half.settings
        silence = self._quiet.of(half.traffic, now)
        if self._awaits_release:
            patience = settings.release_timeout
            if half.receiver.requests > half.sender.answers:  # it is at work
                patience = (
                    max(patience, settings.operation_timeout) if settings.operation_timeout else math.inf
                )
            if silence > patience:
                return "release-timeout"
        if self._awaits_close and silence > settings.artim_timeout and not half.awaited_answers:
            return "close-timeout"
        return ""

    # what may be lost

    def send_unsent(self) -> None:
        """Send what the courier has not taken yet, and read on when it has taken all of it."""
        half = self._half
        sender = half.sender
        if sender.unsent and half.instance.connected and half.state is HalfState.LINKED:
            sender.send_again(unsent_only=True)
            half.regulate()

    def _probe_if_silent(self, now: float) -> None:
        """Probe when there was no progress for a retransmission timeout, then for two."""
        half = self._half
        if self._probing.due(now - half.sender.progress_at, half.settings.retransmit_timeout):
            self._probe()

    def _probe(self) -> None:
        """Ask the other endpoint what it is missing, if anything is in flight, behind all that was sent so far."""
        half = self._half
        remote, sender = half.identity.remote, half.sender
        if remote is None or sender.outbound.idle:
            return
        half.instance.courier.send_probe(
            remote,
            half.identity.local,
            consumed=half.receiver.inbound.consumed,
            number=self._probing.ask(sender.outbound.position),
            bulk=any(segment.lane is Lane.BULK for segment in sender.outbound.unreceived()),
        )

    def missing_told(self, probe: int, arrived: int) -> None:
        """Send again what the other side says it lacks.

        Args:
            probe: was sent behind it, so that it isn't just late; 0: the other side had lost its connection.
            arrived: bytes of ours that it has.
        """
        instance, sender = self._half.instance, self._half.sender
        now = instance.now()
        before = self._probing.answered(probe, sender.outbound.position, now)
        if before is None:
            return
        first = next(sender.outbound.unreceived(before), None)
        if first is None:
            return
        # Chunks that are there wait for their request only. A mistake here lasts until the next probe.
        requests = first.lane is Lane.HANDLER and sender.outbound.missing(before, arrived) <= 0
        count = sender.send_again(before=before, lane=Lane.HANDLER if requests else None)
        if count:
            self._probing.repeated(now)
            instance.counters.sent_again(count)

    def ask_handlers_again(self) -> None:
        """Send operations to the queue group again that no handler took."""
        half = self._half
        if half.state is not HalfState.OPENING:
            half.instance.counters.sent_again(half.sender.send_again(lane=Lane.HANDLER))

    def mesh_returned(self) -> None:
        """Say what was received, and ask the same: whichever side comes back last, the other hears it."""
        half = self._half
        if half.identity.remote is None:
            return
        settings, now = half.settings, half.instance.now()
        patience = settings.deadline - 2 * settings.retransmit_timeout
        half.sender.note_progress(max(half.sender.progress_at, now - patience))
        self._probing.progress()
        half.send_acknowledgement(probe=0)
        self.send_unsent()
        self._probe()

    # what has failed

    def _mesh_deadline_passed(self) -> None:
        """Fail what the other side has not received; what can't fail alone keeps the association another deadline."""
        half = self._half
        outbound = half.sender.outbound
        for operation in sorted(half.operations, key=lambda o: o.position):
            if operation.position >= outbound.received:
                self._fail_operation(operation, "mesh-deadline")
        if half.state is HalfState.ENDED:
            return
        if self._overdue and outbound.awaited:
            half.fail("mesh-deadline")
        self._overdue = True
        half.sender.note_progress(half.instance.now())

    def _fail_operation(self, operation: Operation, code: str) -> None:
        half = self._half
        if half.state is HalfState.ENDED or operation.void:
            return
        if half.sender.is_half_received(operation):
            half.fail(code)
        else:
            status = failure_status_for(operation.head.command_field, FailureReason.OUT_OF_RESOURCES)
            half.void(operation, status, code)
            half.peer.resume_reading()
