"""DIMSE operations from a random source: all services, from either side, with all that belongs to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from tests.interop.differential.command_sets import odd
from tests.support.conversation import STATUSES, Side
from tests.support.wire import Command, Context, Message, Tag, cancel_rq, request, response

PRIVATE_COMMANDS = (0x0200, 0x0FF0, 0x0002)
"""Command fields that PS3.7 doesn't define."""
KINDS = (*(kind for kind in Command if kind is not Command.C_CANCEL), *PRIVATE_COMMANDS)
WEIGHTS = [
    4 if kind in {Command.C_STORE, Command.C_FIND, Command.C_GET, Command.C_MOVE} else 1 for kind in KINDS
]
SIZES = (0, 1, 2, 122, 4090, 4091, 16378, 16379, 32768, 32769, 61440, 61441, 126_976, 126_977, 300_001)
_PATTERN = bytes((index * 7 + index // 256) & 0xFF for index in range(300_001))


@dataclass(frozen=True, slots=True)
class Turn:
    """A message of an operation, and whether its sender first awaits what the other side said before."""

    side: Side
    message: Message
    waits: bool = True


@dataclass(slots=True)
class MessageIds:
    """Gives each side its own message ids: the same numbers on both sides on purpose."""

    next: dict[Side, int] = field(default_factory=dict)

    def take(self, rng: Random, side: Side) -> int:
        """Return the next message id of `side`."""
        number = self.next.get(side)
        if number is None:
            number = rng.choice((0, 1, 7, 65534))
        self.next[side] = (number + 1) % 0x10000
        return number


def data_set(rng: Random, *, likely: float = 0.8, limit: int = 300_001) -> bytes | None:
    """Return a data set: none, empty, small, at the edges of fragments, and now and then a large one."""
    if rng.random() > likely:
        return None
    size = rng.randrange(600) if rng.random() < 0.7 else rng.choice(SIZES)
    size = min(size, limit)
    start = rng.randrange(len(_PATTERN) - size + 1) if rng.random() < 0.9 else 0
    return _PATTERN[start : start + size]


def _maybe_odd(rng: Random, message: Message) -> Message:
    return odd(rng, message) if rng.random() < 0.25 else message


def _sub_operation(rng: Random, side: Side, contexts: Sequence[Context], ids: MessageIds) -> list[Turn]:
    """Return the C-STORE that `side` performs within the other side's C-GET, or beside its C-MOVE."""
    context = rng.choice(contexts)
    number = ids.take(rng, side)
    more: dict[int, int | str | bytes] = {
        Tag.AFFECTED_SOP_INSTANCE: f"1.2.3.{number}",
        Tag.MOVE_ORIGINATOR: "MOVER",
        Tag.MOVE_ORIGINATOR_ID: number,
    }
    ask = request(
        Command.C_STORE,
        number,
        context.abstract,
        data=data_set(rng, likely=0.95),
        context_id=context.id,
        more=more,
    )
    return [
        Turn(side, _maybe_odd(rng, ask)),
        Turn(side.other, _maybe_odd(rng, response(ask, rng.choice(STATUSES)))),
    ]


def _responses(
    rng: Random, side: Side, ask: Message, contexts: Sequence[Context], ids: MessageIds
) -> list[Turn]:
    """Return what follows a C-FIND, C-GET or C-MOVE of `side`: pending ones, sub-operations, maybe a cancel."""
    turns: list[Turn] = []
    pending = rng.choice((0, 1, 2, 5, 12))
    same = rng.random() < 0.5
    for number in range(pending):
        if ask.field in {Command.C_GET, Command.C_MOVE} and rng.random() < 0.5:
            turns += _sub_operation(rng, side.other, contexts, ids)
        counts: dict[int, int | str | bytes] = {}
        if not same:
            counts = {Tag.REMAINING: pending - number, Tag.COMPLETED: number, Tag.FAILED: 0, Tag.WARNINGS: 0}
        status = 0xFF00 if same else rng.choice((0xFF00, 0xFF01))
        answer = response(ask, status, data=data_set(rng, limit=20_000), more=counts)
        turns.append(Turn(side.other, answer if same else _maybe_odd(rng, answer), waits=rng.random() < 0.3))
    return turns


def operation(rng: Random, side: Side, contexts: Sequence[Context], ids: MessageIds) -> list[Turn]:
    """Return one operation that `side` asks for: its messages, in an order that is possible."""
    context = rng.choice(contexts)
    kind = rng.choices(KINDS, WEIGHTS)[0]
    more: dict[int, int | str | bytes] = {}
    if kind == Command.C_MOVE:
        more[Tag.MOVE_DESTINATION] = rng.choice(("SOMEWHERE ELSE.1", "A", "X.Y * > Z. 16 CH"))
    if kind == Command.C_STORE:
        more |= {Tag.PRIORITY: rng.randrange(3), Tag.AFFECTED_SOP_INSTANCE: "1.2.840.1"}
    data = None if kind == Command.C_ECHO else data_set(rng)
    number = ids.take(rng, side)
    ask = request(kind, number, context.abstract, data=data, context_id=context.id, more=more)
    turns = [Turn(side, _maybe_odd(rng, ask))]
    if kind in {Command.C_FIND, Command.C_GET, Command.C_MOVE}:
        turns += _responses(rng, side, ask, contexts, ids)
        if rng.random() < 0.4:
            cancel = Turn(side, cancel_rq(number, context_id=context.id), waits=False)
            turns.insert(rng.randrange(1, len(turns) + 1), cancel)
    answered = None if kind == Command.C_ECHO else data_set(rng, likely=0.3, limit=61_441)
    final = response(ask, rng.choice(STATUSES), data=answered)
    turns.append(Turn(side.other, _maybe_odd(rng, final)))
    return turns


def _other_context(rng: Random, message: Message, contexts: Sequence[Context]) -> Message:
    return replace(message, context_id=rng.choice(contexts).id)


def unheard_of(rng: Random, side: Side, contexts: Sequence[Context], ids: MessageIds) -> list[Turn]:
    """Return an operation that no standard knows: answers that nobody asked for, late, or in another place."""
    turns = operation(rng, side, contexts, ids)
    ask, final = turns[0].message, turns[-1].message
    context = rng.choice(contexts)
    match rng.randrange(6):
        case 0:  # a cancel for nobody
            number = rng.randrange(0x10000)
            return [Turn(side, cancel_rq(number, context_id=context.id), waits=False)]
        case 1:  # an answer to nobody
            stranger = request(
                Command.C_STORE, rng.randrange(0x10000), context.abstract, context_id=context.id
            )
            return [Turn(side, response(stranger, rng.choice(STATUSES), data=data_set(rng, likely=0.3)))]
        case 2:  # another answer behind the final one
            return [*turns, Turn(side.other, final, waits=False)]
        case 3:  # an answer in another presentation context
            return [*turns[:-1], replace(turns[-1], message=_other_context(rng, final, contexts))]
        case 4:  # a message id that is still in use
            return [turns[0], Turn(side, ask, waits=False), *turns[1:], Turn(side.other, final, waits=False)]
        case _:  # no answer at all
            return turns[:1]
