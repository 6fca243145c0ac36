"""What an association half needs of the instance that it lives in, and what instance and parts need of the half.

The half itself does no input or output and has no clock: events are calls of its methods, and what follows from them
are calls of its `DicomPeer` and of its `Instance`. So nothing in this package imports in a circle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from dimse_mesh.endpoint.courier import Courier
from dimse_mesh.endpoint.half_state import HalfState
from dimse_mesh.endpoint.identity import AssociationIdentity
from dimse_mesh.endpoint.operations import Operation, OperationTable
from dimse_mesh.endpoint.patrol import Patrolled
from dimse_mesh.endpoint.peer import DicomPeer
from dimse_mesh.endpoint.receiver import Receiver
from dimse_mesh.endpoint.sender import Sender
from dimse_mesh.endpoint.settings import HalfSettings
from dimse_mesh.endpoint.summary import OperationSummary
from dimse_mesh.runtime.counters import Counters, Load
from dimse_mesh.runtime.telemetry import Telemetry
from dimse_mesh.schemas.addresses import HalfAddress, InstanceAddress
from dimse_mesh.schemas.frames import Frame
from dimse_mesh.streams.congestion import CongestionWindow
from dimse_mesh.streams.inbound import Arrival
from dimse_mesh.streams.outbound import Budget
from dimse_mesh.upper_layer import Abort, AbortReason


class Reminder(Protocol):
    """What will be done later."""

    def cancel(self) -> None:
        """Don't do it."""


class Instance(Protocol):
    """The shell of the halves in one process: time, timers, what is published, and what all share."""

    courier: Courier
    counters: Counters
    telemetry: Telemetry
    settings: HalfSettings
    budget: Budget
    now: Callable[[], float]

    @property
    def connected(self) -> bool:
        """Whether the mesh can be reached."""

    def outage(self, now: float) -> float:
        """Return for how many seconds the mesh could not be reached; 0: it can."""

    def congestion_window_to(self, instance: InstanceAddress) -> CongestionWindow:
        """Return what may be under way to an instance."""

    def linked(self, half: Half) -> None:
        """Note that a half knows its other end: watch that instance."""

    def ended(self, half: Half, *, tell: Abort | None, keep: bool) -> None:
        """Forget a half, when the other endpoint knows.

        Args:
            half: its association has ended.
            tell: what the other endpoint must be told, if it ended here.
            keep: what was sent last, the end itself included, is not acknowledged yet.
        """

    def watch(self, half: Half) -> None:
        """Look at the half's deadlines until its `sweep` says that nothing is outstanding."""

    def call_later(self, half: Half, seconds: float, action: Callable[[], None]) -> Reminder:
        """Do something for a half in so many seconds; an error of ours ends its association and no other."""

    def acknowledge_later(self, half: Half) -> None:
        """Acknowledge within `ack_delay`, unless another frame carries it before."""

    def frame_of_stranger(self, half: Half, frame: Frame, sender: InstanceAddress) -> bool:
        """Handle a frame of another one than the half's remote: it was given up, or is being waited for.

        True: it has our `OpenRequest`, and the association stands for it, so the segment may be ours.
        """


class HalfEvents(Patrolled, Protocol):
    """What an instance tells a half, and asks it."""

    identity: AssociationIdentity

    @property
    def load(self) -> Load:
        """What it carries now."""

    def frame_received(self, frame: Frame) -> None:
        """Handle a frame of the other endpoint."""

    def operation_approved(self, arrival: Arrival, acknowledged: int) -> None:
        """Handle a request that came through a handler."""

    def operation_refused(self, position: int, status: int, code: str, *, by: InstanceAddress) -> None:
        """Handle the refusal of an operation of our own peer; only by a handler that was asked for it."""

    def still_unacknowledged(self, frame: Frame) -> bool:
        """After an end in order: handle an ACK of what was sent last; return whether something is still missing."""

    def acknowledge_if_owed(self) -> None:
        """Send the acknowledgement that no other frame has carried meanwhile."""

    def sweep(self, now: float) -> bool:
        """Look at every deadline; return whether there is still something to watch."""

    def sweep_after_end(self, now: float) -> bool:
        """After an end in order: probe if nothing moves; False: the other endpoint has been silent for too long."""

    def send_unsent(self) -> None:
        """Send what was not taken yet, and read on when all of it was."""

    def ask_handlers_again(self) -> None:
        """Send operations to the queue group again that no handler took."""

    def mesh_returned(self) -> None:
        """Say what was received, and ask the same."""

    def instance_died(self) -> None:
        """End the association: whoever held the other end is gone."""

    def forgotten(self) -> None:
        """Let go of what was sent: the other endpoint knows of the end, or there is none."""


class Half(HalfEvents, Protocol):
    """A half as its parts see it."""

    instance: Instance
    operations: OperationTable
    peer: DicomPeer
    receiver: Receiver
    sender: Sender
    settings: HalfSettings
    state: HalfState
    summary: OperationSummary

    @property
    def full(self) -> bool:
        """Whether our peer isn't read because it has as many operations outstanding as it may have."""

    @property
    def owed_answers(self) -> bool:
        """Whether our peer has not answered all that it was asked."""

    @property
    def awaited_answers(self) -> bool:
        """Whether the other side's peer has not answered all that ours has asked it."""

    @property
    def remote(self) -> HalfAddress:
        """The other endpoint's half; only when it is known."""

    def regulate(self) -> None:
        """Read our peer, or hold it back until what it has sent gets away."""

    def guarded(self, action: Callable[[], None]) -> None:
        """Run `action`; what a peer or the other endpoint did wrong ends this association and no other."""

    def blame(self, error: Exception) -> None:
        """End the association for what a peer or the other endpoint did wrong."""

    def fail(self, code: str, reason: AbortReason = AbortReason.NOT_SPECIFIED) -> None:
        """Abort the association towards both sides; a part has found that it can't go on."""

    def end(
        self, code: str, *, abort: Abort | None = None, tell: Abort | None = None, in_order: bool = False
    ) -> None:
        """End the association: see `AssociationHalf`."""

    def void(self, operation: Operation, status: int, code: str) -> None:
        """Let the mesh answer an operation: with `status`, as soon as our peer has sent all of it."""

    def pump(self) -> None:
        """Write to our peer what it takes, and acknowledge that."""

    def segment_consumed(self) -> None:
        """Acknowledge the end that was just passed on: it is the last thing that our peer got."""

    def send_acknowledgement(self, *, probe: int | None = None) -> None:
        """Say what was received and consumed; `probe`: and that what else was sent before it (0: so far) was lost."""

    def progress(self) -> None:
        """Note that the other endpoint has received or consumed something."""

    def missing_told(self, probe: int, arrived: int) -> None:
        """Send again what the other side says it lacks."""

    def await_release(self) -> None:
        """From now on our peer owes an A-RELEASE-RP."""

    def await_close(self) -> None:
        """Note that our peer has sent its last byte, and waits for the other side's peer to answer and close."""
