"""A conversation between a client and a target, as data: who does what, and after what.

Each side performs its own steps in order. A step waits until its side has received so many items from the other
(`after`) and, where that matters, until so many of its own have arrived there (`arrived`). So a conversation has
one outcome however fast either side is: what both sides see is compared, direct and through the mesh.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from tests.support.conversation import Side


class Do(StrEnum):
    """What a step does to the connection."""

    SEND = "sends"
    FINISH = "shuts down its sending half"
    CLOSE = "closes"
    RESET = "resets"
    COLLIDE = "asks for release, and goes through with the collision"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of one side.

    Args:
        after: items that this side has received before.
        arrived: items of this side that the other has received before.
        data: bytes to send; they make whole items, or the piece of one that is never completed.
        note: what they are, for people.
    """

    side: Side
    do: Do
    after: int
    arrived: int = 0
    data: bytes = b""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """The steps of both sides, in one order that would be possible."""

    seed: int
    steps: tuple[Step, ...]
    max_length: dict[Side, int] = field(default_factory=dict)
    """The longest PDU that each side takes; 0: any."""
    settled: bool = True
    """Whether all that was sent had arrived before one side ended the association."""
    ended_by: Side | None = None
    """Who ended it without the other's consent: what that side receives afterwards is nobody's business."""

    def of(self, side: Side) -> tuple[Step, ...]:
        """Return the steps of one side."""
        return tuple(step for step in self.steps if step.side is side)


class Timeline:
    """Collects the steps of a conversation, and counts the items that each side has sent."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.sent = {Side.CLIENT: 0, Side.TARGET: 0}
        self.settled = True
        self.ended_by: Side | None = None

    def send(self, side: Side, data: bytes, note: str, *, after: int | None = None) -> None:
        """Let `side` send an item when it has received `after` (None: all) of the other's."""
        self.do(side, Do.SEND, data=data, note=note, after=after)
        self.sent[side] += 1

    def do(
        self, side: Side, what: Do, *, data: bytes = b"", note: str = "", after: int | None = None
    ) -> None:
        """Let `side` do something that is no whole item."""
        received = self.sent[side.other] if after is None else after
        self.steps.append(Step(side, what, received, data=data, note=note))

    def end(self, side: Side, what: Do, *, data: bytes = b"", note: str = "", settled: bool = True) -> None:
        """Let `side` end the association; `settled`: when everything before has arrived."""
        after, arrived = (self.sent[side.other], self.sent[side]) if settled else (1, 1)
        self.steps.append(Step(side, what, after, arrived, data, note))
        self.settled = settled
        self.ended_by = side
