"""The timers of an instance's halves: one for all acknowledgements, one for all deadlines, whatever their number."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from dimse_mesh.endpoint.pending_aborts import PendingAborts
from dimse_mesh.endpoint.ports import Half
from dimse_mesh.mesh.errors import report

SWEEP_INTERVAL = 0.25
"""Seconds between looks at deadlines, while there is anything to look at."""
UNHANDLED_INTERVAL = 0.2
"""Seconds until an operation whose queue group was empty is asked again."""


class HalfTimers:
    """Calls halves when something of theirs is due.

    Args:
        ack_delay: seconds until an acknowledgement is sent that no other frame has carried.
        pending_aborts: repeated at each look at the deadlines.
        give_up: ends a half whose other end has been silent for too long after an end in order.
        unregister: forgets a half that can't even be aborted.
    """

    def __init__(
        self,
        *,
        ack_delay: float,
        pending_aborts: PendingAborts,
        give_up: Callable[[Half], None],
        unregister: Callable[[Half], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._ack_delay = ack_delay
        self._pending_aborts = pending_aborts
        self._give_up = give_up
        self._unregister = unregister
        self._acknowledging: set[Half] = set()
        self._watched: set[Half] = set()
        self._unhandled: set[Half] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self.released: set[Half] = set()
        """Halves that have ended in order, and whose other end may not know yet."""

    @property
    def idle(self) -> bool:
        """Whether nothing of any half is due."""
        return not (self._acknowledging or self._watched or self.released)

    def stop(self) -> None:
        """Look at no deadline any more."""
        if self._sweeping is not None:
            self._sweeping.cancel()

    def each(self, halves: Iterable[Half], action: Callable[[Half], object]) -> None:
        """Do something for each of some halves. An error of ours ends its association and no other."""
        for half in list(halves):
            try:
                action(half)
            except Exception as error:  # noqa: BLE001 - the other halves come next, and the timer has to go on
                self.failed(half, error)

    def failed(self, half: Half | None, error: Exception) -> None:
        """End the association that an error of ours belongs to; None: it belongs to none of those that stand."""
        if half is None:
            report("a frame of a stranger", error)
            return
        report(f"an association ({half.identity.association})", error)
        self._watched.discard(half)
        self.released.discard(half)
        try:
            half.abort("internal-error")
        except Exception:  # noqa: BLE001 - it can't even be ended in order
            self._unregister(half)

    def call_later(self, half: Half, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        """Do something for a half in so many seconds; an error of ours ends its association and no other."""
        return self._loop.call_later(seconds, self.each, (half,), lambda _: action())

    # acknowledgements

    def acknowledge_later(self, half: Half) -> None:
        """Acknowledge within `ack_delay`, unless another frame carries it before."""
        if not self._acknowledging:
            self._loop.call_later(self._ack_delay, self._acknowledge)
        self._acknowledging.add(half)

    def _acknowledge(self) -> None:
        halves, self._acknowledging = self._acknowledging, set()
        self.each(halves, lambda half: half.acknowledge_if_owed())

    # deadlines

    def watch(self, half: Half) -> None:
        """Look at the half's deadlines until its `sweep` says that nothing is outstanding."""
        self._watched.add(half)
        self.sweep_later()

    def ended(self, half: Half, *, keep: bool) -> None:
        """Note that a half has ended; `keep`: what it sent last is not acknowledged yet."""
        self._acknowledging.discard(half)
        self._watched.discard(half)
        if keep:
            self.released.add(half)
            self.sweep_later()

    def sweep_later(self) -> None:
        """Look at all deadlines soon, and again as long as there are any."""
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(SWEEP_INTERVAL, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        now = self._loop.time()
        try:
            self.each(self._watched, lambda half: self._sweep_one(half, now))
            self.each(self.released, lambda half: self._sweep_released(half, now))
            self._pending_aborts.repeat(now)
        finally:
            if self._watched or self.released or self._pending_aborts:
                self.sweep_later()

    def _sweep_one(self, half: Half, now: float) -> None:
        if not half.sweep(now):
            self._watched.discard(half)

    def _sweep_released(self, half: Half, now: float) -> None:
        if not half.sweep_after_end(now):
            self._give_up(half)

    # what was not taken

    def send_unsent(self) -> None:
        """Send what the bulk connection did not take: there is room again."""
        self.each(self._watched, lambda half: half.send_unsent())
        self.each(self.released, lambda half: half.sender.send_again(unsent_only=True))

    def ask_handlers_later(self, half: Half) -> None:
        """Ask again for operations: no handler is there just now, since one is being restarted."""
        if not self._unhandled:
            self._loop.call_later(UNHANDLED_INTERVAL, self._ask_handlers)
        self._unhandled.add(half)

    def _ask_handlers(self) -> None:
        halves, self._unhandled = self._unhandled, set()
        self.each(halves, lambda half: half.ask_handlers_again())
