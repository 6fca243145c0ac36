"""How many operations a peer may have outstanding: fewer while others want the process' time, too.

Each operation costs several processes time: this one, the other endpoint's, a handler's, nats-server and the target. So
whoever sends operations without end slows the others as much as it has under way, not as much as this process reads.
What was negotiated (PS3.7 §D.3.3.3) a peer may have, and one more is read: it may be the C-CANCEL of one of them.
With more it has to wait for an answer, but not for long: the other side may wait for what it sends next.
"""

from __future__ import annotations

from typing import Final

MOST_OPERATIONS: Final = 4096
"""Operations that a peer may have outstanding, whatever was negotiated."""
LONGEST_HOLD: Final = 0.05
"""Seconds that a peer has to wait for an answer at most, until one operation more is read."""
LONGEST_REST: Final = 0.05
"""Seconds that a peer rests at most after it had too many operations outstanding."""
PAID_BACK: Final = 3
"""Seconds of rest for each second that a peer had to wait."""
MANY_OPERATIONS: Final = 32
"""Operations that a peer may have outstanding while others want the process' time, whatever was negotiated."""


class OperationLimit:
    """What one peer may have outstanding.

    Args:
        allowed: without a negotiation, while nobody else wants the process' time.
    """

    __slots__ = ("_allowed", "_held_since", "_let_on", "_most", "shared")

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._most = self.shared = 1
        """What it may have while nobody else wants the process' time; and while others do."""
        self._held_since: float | None = None
        self._let_on = 0
        """Operations with which it was let on."""

    def negotiated(self, operations: int) -> None:
        """Take note of what was negotiated; 0: no limit."""
        self._most = max(self._allowed, min(operations or MOST_OPERATIONS, MOST_OPERATIONS))
        self.shared = min(operations or MANY_OPERATIONS, MANY_OPERATIONS, self._most)

    def exceeded(self, count: int, *, contended: bool, owes_answers: bool) -> bool:
        """Tell whether a peer has to wait. While it owes answers it is read: they may be for one of its operations.

        Args:
            count: operations that it has outstanding.
            contended: whether others want the process' time, too.
            owes_answers: whether it was asked something itself.
        """
        self._let_on = min(self._let_on, count)
        most = min(self._let_on + 1, self._most) if contended else self._most
        if count <= self.shared or count < most:
            return False
        return count >= MOST_OPERATIONS or not owes_answers

    def hold(self, now: float) -> None:
        """Note that the peer has to wait, if that is new."""
        if self._held_since is None:
            self._held_since = now

    def let_on(self, count: int) -> None:
        """Let a peer that has waited for long have as many operations outstanding as it has, and not rest."""
        self._let_on = count
        self._held_since = None

    def release(self, now: float) -> float:
        """Note that it has to wait no longer; return for how many seconds it should rest, if others want the time.

        It rests three times as long as it had to wait, so that others have the processes to themselves meanwhile.
        """
        since, self._held_since = self._held_since, None
        return 0.0 if since is None else min((now - since) * PAID_BACK, LONGEST_REST)
