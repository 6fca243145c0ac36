"""The deadlines of one link, looked at while something is outstanding, and what happens when one has passed.

no progress for `retransmit_timeout`    the other endpoint is asked what it has received (PROBE)
none for `deadline`                     what it has not received fails; what can't fail alone ends the association
no NATS for `deadline`                  every operation fails
no response for `operation_timeout`     the operation fails
a peer that doesn't read, release or close   the association ends

Each is a silence: what moves meanwhile renews it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dimse_mesh.dimse import FailureReason, failure_status_for
from dimse_mesh.endpoint.link_state import LinkState
from dimse_mesh.endpoint.operations import Operation
from dimse_mesh.endpoint.outbound import Route

if TYPE_CHECKING:
    from dimse_mesh.endpoint.link import Link

_PROBE_BACKOFF = 2
"""Retransmission timeouts without progress between probes, from the second probe on."""
_RESEND_PAUSE = 0.2
"""Seconds in which the same segments are not sent a third time, to who has not been asked."""
_ASKED_AT_MOST = 64
"""Probes whose answer is awaited."""


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


class Deadlines:
    """Of one link. Its clock is the router's; the router also calls `sweep`."""

    __slots__ = (
        "_asked",
        "_awaits_close",
        "_awaits_release",
        "_last_probe",
        "_link",
        "_not_taking",
        "_overdue",
        "_probes",
        "_quiet",
        "_resent_at",
    )

    def __init__(self, link: Link) -> None:
        self._link = link
        self._overdue = False
        self._probes = 0
        """Sent since there was progress."""
        self._last_probe = 0
        self._asked: dict[int, int] = {}
        """By the number of a probe, the position of what it follows; none that was sent before the last repetition."""
        self._resent_at = 0.0
        self._awaits_release = False
        self._awaits_close = False
        self._quiet = Silence()
        """Of our peer."""
        self._not_taking = Silence()
        """Of our peer, while it reads more slowly than we write."""

    @property
    def outstanding(self) -> bool:
        """Whether there is anything to look at."""
        link = self._link
        return (
            not link.sender.outbound.idle
            or len(link.operations) > 0
            or not link.peer.writable
            or self._awaits_release
            or self._awaits_close
        )

    def progress(self) -> None:
        """Note that the other endpoint has received or consumed something."""
        self._link.sender.progress_at = self._link.router.now()
        self._overdue = False
        self._probes = 0

    def await_release(self) -> None:
        """From now on our peer owes an A-RELEASE-RP."""
        self._awaits_release = True
        self._look_at_the_end()

    def await_close(self) -> None:
        """From now on our peer, which sends no more, waits for the other side's to answer and close."""
        self._awaits_close = True
        self._look_at_the_end()

    def _look_at_the_end(self) -> None:
        link = self._link
        self._quiet.of(link.traffic, link.router.now())
        link.router.watch(link)

    def end_is_late(self, now: float) -> bool:
        """After an end that goes in order: tell whether the other endpoint has not had it for the whole deadline."""
        link = self._link
        outbound = link.sender.outbound
        silence = now - link.sender.progress_at
        return (
            silence > link.router.settings.deadline
            and link.router.connected
            and outbound.received < outbound.position
        )

    def sweep(self, now: float) -> None:
        """Look at every deadline of a link that has not ended."""
        link = self._link
        router, sender = link.router, link.sender
        settings, outbound = router.settings, sender.outbound
        if link.peer.writable:
            self._not_taking.forget()
        elif self._not_taking.of(link.peer.backlog, now) > settings.stalled_write_timeout:
            link.fail("peer-stalled")
            return
        late = self._late_end(now)
        if late:
            link.fail(late)
            return
        self.send_unsent()
        if not outbound.idle:
            silence = now - sender.progress_at
            if silence > settings.deadline and outbound.received < outbound.position:
                self._mesh_deadline_passed()
            else:
                self.probe_if_silent(now)
        if router.outage(now) > settings.deadline:
            for operation in link.operations:
                self._fail_operation(operation, "mesh-deadline")
        if settings.operation_timeout:
            for operation in link.operations:
                if (
                    now - max(operation.last_activity, sender.progress_at, link.receiver.data_at)
                    > settings.operation_timeout
                ):
                    self._fail_operation(operation, "operation-timeout")

    def _late_end(self, now: float) -> str:
        """Return a code if our peer should have answered an A-RELEASE-RQ, or closed, long since."""
        if not (self._awaits_release or self._awaits_close):
            return ""
        link = self._link
        settings = link.router.settings
        silence = self._quiet.of(link.traffic, now)
        if self._awaits_release:
            patience = settings.release_timeout
            if link.receiver.requests > link.sender.answers:  # it is at work
                patience = (
                    max(patience, settings.operation_timeout) if settings.operation_timeout else math.inf
                )
            if silence > patience:
                return "release-timeout"
        if self._awaits_close and silence > settings.artim_timeout and not link.awaited_answers:
            return "close-timeout"
        return ""

    # what may be lost

    def send_unsent(self) -> None:
        """Send what the courier has not taken yet, and read on when it has taken all of it."""
        link = self._link
        sender = link.sender
        if sender.unsent and link.router.connected and link.state is LinkState.LINKED:
            sender.send_again(unsent_only=True)
            link.regulate()

    def probe_if_silent(self, now: float) -> None:
        """Probe when there was no progress for a retransmission timeout, then for two."""
        link = self._link
        timeout = link.router.settings.retransmit_timeout * min(1 << self._probes, _PROBE_BACKOFF)
        if now - link.sender.progress_at > timeout:
            self._probe()

    def _probe(self) -> None:
        """Ask the other endpoint what it is missing, if anything is in flight, behind all that was sent so far."""
        link = self._link
        remote, sender = link.identity.remote, link.sender
        if remote is None or sender.outbound.idle:
            return
        self._probes = min(self._probes + 1, 16)
        self._last_probe += 1
        self._asked[self._last_probe] = sender.outbound.position
        if len(self._asked) > _ASKED_AT_MOST:
            del self._asked[next(iter(self._asked))]
        link.router.courier.send_probe(
            remote,
            link.identity.local,
            consumed=link.receiver.inbound.consumed,
            number=self._last_probe,
            bulk=any(segment.route is Route.BULK for segment in sender.outbound.unreceived()),
        )

    def missing_told(self, probe: int, arrived: int) -> None:
        """Send again what the other side says it lacks.

        Args:
            probe: was sent behind it, so that it isn't just late; 0: the other side had lost its connection.
            arrived: bytes of ours that it has.
        """
        router, sender = self._link.router, self._link.sender
        if probe:
            before = self._asked.pop(probe, None)
            if before is None:
                return  # was sent again since
        else:
            before = sender.outbound.position
            if router.now() - self._resent_at < _RESEND_PAUSE:
                return
        first = next(sender.outbound.unreceived(before), None)
        if first is None:
            return
        # Chunks that are there wait for their request only. A mistake here lasts until the next probe.
        requests = first.route is Route.HANDLER and sender.outbound.missing(before, arrived) <= 0
        count = sender.send_again(before=before, route=Route.HANDLER if requests else None)
        if count:
            self._asked.clear()
            self._resent_at = router.now()
            router.counters.retransmissions += count

    def ask_handlers_again(self) -> None:
        """Ask the queue group again for the operations that nobody took."""
        link = self._link
        if link.state is not LinkState.OPENING:
            link.router.counters.retransmissions += link.sender.send_again(route=Route.HANDLER)

    def mesh_returned(self) -> None:
        """Say what was received, and ask the same: whichever side comes back last, the other hears it."""
        link = self._link
        if link.identity.remote is None:
            return
        settings, now = link.router.settings, link.router.now()
        patience = settings.deadline - 2 * settings.retransmit_timeout
        link.sender.progress_at = max(link.sender.progress_at, now - patience)
        self._probes = 0
        link.other_end.send_acknowledgement(probe=0)
        self.send_unsent()
        self._probe()

    # what has failed

    def _mesh_deadline_passed(self) -> None:
        """Fail what the other side has not received; what can't fail alone keeps the association another deadline."""
        link = self._link
        outbound = link.sender.outbound
        for operation in sorted(link.operations, key=lambda o: o.position):
            if operation.position >= outbound.received:
                self._fail_operation(operation, "mesh-deadline")
        if link.state is LinkState.ENDED:
            return
        if self._overdue and outbound.awaited:
            link.fail("mesh-deadline")
        self._overdue = True
        link.sender.progress_at = link.router.now()

    def _fail_operation(self, operation: Operation, code: str) -> None:
        link = self._link
        if link.state is LinkState.ENDED or operation.void:
            return
        if link.sender.is_half_received(operation):
            link.fail(code)
        else:
            status = failure_status_for(operation.head.command_field, FailureReason.OUT_OF_RESOURCES)
            link.outcomes.void(operation, status, code)
            link.peer.resume_reading()
