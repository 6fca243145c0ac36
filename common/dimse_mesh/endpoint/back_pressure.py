"""Whether our peer is read: what it sends has to get away, and what it asks has to be answered.

It is held back

- while what it has sent already is not taken: the window is full, or NATS takes no more;
- while its congestion window is full or others wait for it, unless the peer begins a new message;
- while it has more operations outstanding than its `OperationLimit` allows.
"""

from __future__ import annotations

from dimse_mesh.endpoint.half_state import HalfState
from dimse_mesh.endpoint.operation_limit import LONGEST_HOLD, OperationLimit
from dimse_mesh.endpoint.ports import Half, Reminder


class BackPressure:
    """Reads the peer of one half, or holds it back."""

    __slots__ = ("_half", "_limit", "_timer", "full")

    def __init__(self, half: Half, *, max_operations: int) -> None:
        self._half = half
        self._limit = OperationLimit(max_operations)
        self._timer: Reminder | None = None
        """Ends the wait for an answer."""
        self.full = False
        """Whether our peer isn't read because it has as many operations outstanding as it may have."""

    def negotiated(self, operations: int) -> None:
        """Take note of how many operations the peers have agreed on; 0: without limit."""
        self._limit.negotiated(operations)

    def operation_added(self) -> None:
        """Let nothing more in at once if our peer has too many operations outstanding now."""
        if self._too_many:
            self._half.peer.end_turn()

    def regulate(self, *, waited: bool = False) -> None:
        """Read our peer, or hold it back until what it has sent gets away.

        Where the congestion window is full, or others wait for it, each read has to be waited for; but a peer that
        begins a new message is read at once.
        """
        half = self._half
        peer, outbound = half.peer, half.sender.outbound
        congestion = outbound.congestion
        assert congestion is not None
        full = self._too_many
        if full or self.full:
            self._set_full(full)
        if outbound.exhausted or half.sender.unsent or self.full:
            peer.pause_reading()
            congestion.leave(self)
        elif (congestion.full or (congestion.contended and not waited)) and (
            peer.in_mid_pdu or half.sender.in_mid_message or not outbound.idle
        ):
            peer.pause_reading()
            congestion.wait(self)
        else:
            peer.resume_reading(congestion.read_size)
            congestion.reads(self)

    def leave(self) -> None:
        """Wait for the congestion window no more: the association is over."""
        congestion = self._half.sender.outbound.congestion
        if congestion is not None:
            congestion.leave(self)

    @property
    def _too_many(self) -> bool:
        half = self._half
        count = len(half.operations)
        return count > self._limit.shared and self._limit.exceeded(
            count, contended=half.peer.contended, owes_answers=half.owed_answers
        )

    def _set_full(self, full: bool) -> None:
        """Note whether the peer has to wait for an answer; if so, not for long."""
        half = self._half
        self.full = full
        if full:
            self._limit.hold(half.instance.now())
            if self._timer is None:
                self._timer = half.instance.call_later(half, LONGEST_HOLD, self._let_on)
        else:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            rest = self._limit.release(half.instance.now())
            if half.peer.contended:
                half.peer.rest(rest)

    def _let_on(self) -> None:
        """Read our peer though nothing was answered: the other side may wait for what it sends next."""
        self._timer = None
        if self.full and self._half.state is HalfState.LINKED:
            self._limit.let_on(len(self._half.operations))
            self.regulate()
