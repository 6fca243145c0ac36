"""ARTIM and the idle timer, as deadlines: time is passed in, the next deadline comes out."""

from __future__ import annotations

from enum import Enum, auto

from dimse_mesh.upper_layer.state import Action, State

# Tables 9-6 to 9-9: what an action says about ARTIM. AE-6 stops it, and starts it again if it rejects.
ARTIM_STARTED_BY = frozenset((Action.AE_5, Action.AE_8, Action.AR_4, Action.AA_1, Action.AA_8))
ARTIM_STOPPED_BY = frozenset((Action.AE_6, Action.AR_5, Action.AA_2, Action.AA_5))
_IDLE_STATES = frozenset(
    (State.STA6, State.STA7, State.STA8, State.STA9, State.STA10, State.STA11, State.STA12)
)


class Timer(Enum):
    """Which deadline has passed."""

    ARTIM = auto()
    """Feed `Event.EVT18` to the machine."""
    IDLE = auto()
    """Not in PS3.8: the association was silent for too long; feed `Event.EVT15` (abort request)."""


class Timers:
    """The two deadlines of one association; all times are seconds of one monotonic clock, the caller's.

    ARTIM follows the actions (PS3.8 §9.1.5). The idle timer runs while an association stands (states 6 to 12;
    `idle` None: never), restarted by every action and by `touch`. Then arm your clock for `deadline`.
    """

    __slots__ = ("_artim", "_artim_at", "_idle", "_idle_at")

    def __init__(self, *, artim: float, idle: float | None = None) -> None:
        self._artim = artim
        self._idle = idle
        self._artim_at: float | None = None
        self._idle_at: float | None = None

    @property
    def deadline(self) -> float | None:
        """The earlier of the two, or None if no timer runs."""
        if self._artim_at is None or self._idle_at is None:
            return self._idle_at if self._artim_at is None else self._artim_at
        return min(self._artim_at, self._idle_at)

    def follow(self, action: Action, state: State, now: float) -> float | None:
        """Start and stop what `action`, which led to `state`, says; return the deadline."""
        if action in ARTIM_STARTED_BY or (action is Action.AE_6 and state is State.STA13):
            self._artim_at = now + self._artim
        elif action in ARTIM_STOPPED_BY or state is State.STA1:
            self._artim_at = None
        self._idle_at = now + self._idle if self._idle is not None and state in _IDLE_STATES else None
        return self.deadline

    def touch(self, now: float) -> float | None:
        """Restart the idle timer if it runs (bytes moved without completing a PDU); return the deadline."""
        if self._idle is not None and self._idle_at is not None:
            self._idle_at = now + self._idle
        return self.deadline

    def expired(self, now: float) -> Timer | None:
        """Say which timer has run out, if any; it stops, so it is told once."""
        if self._artim_at is not None and now >= self._artim_at:
            self._artim_at = None
            return Timer.ARTIM
        if self._idle_at is not None and now >= self._idle_at:
            self._idle_at = None
            return Timer.IDLE
        return None
