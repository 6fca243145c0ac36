"""Random but legal DIMSE conversations between two scripted peers, for the transparency tests.

A conversation is a timeline of messages. Each side knows how many messages it must have received before it may
send its next one: a response waits for its request, a request for the end of the group of operations before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from hypothesis import strategies as st

from tests.support.scripted import Peer
from tests.support.wire import Command, Context, Message, Tag, cancel_rq, request, response

PRIVATE = "1.2.826.0.1.3680043.9.9999.77"
ABSTRACT = (
    "1.2.840.10008.1.1",
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.2.2.1",
    "1.2.840.10008.3.1.2.3.3",
    f"{PRIVATE}.1",
    f"{PRIVATE}.2",
)
WITH_PENDING = (Command.C_FIND, Command.C_MOVE, Command.C_GET)
STATUSES = (0x0000, 0xB000, 0xFE00, 0xA700, 0xC123, 0x0124, 0x0110, 0x0211, 0x0107)
UNKNOWN_TAGS = (0x0001, 0x0010, 0x0200, 0x0901, 0x0903, 0x5110, 0x51B0, 0xFFFF)


class Side(StrEnum):
    """Who sends."""

    CLIENT = "client"
    TARGET = "target"

    @property
    def other(self) -> Side:
        """The one who receives."""
        return Side.TARGET if self is Side.CLIENT else Side.CLIENT


@dataclass(frozen=True, slots=True)
class Step:
    """One message: who sends it, how it is cut, and after how many messages from the other side."""

    side: Side
    message: Message
    after: int
    sizes: tuple[int, ...] | None = None


@dataclass(slots=True)
class Conversation:
    """The timeline, and what was negotiated for it."""

    contexts: list[Context] = field(default_factory=list)
    client_max: int = 16384
    target_max: int = 16384
    steps: list[Step] = field(default_factory=list)

    def sent_by(self, side: Side) -> list[Message]:
        """Return what one side sends, in order."""
        return [step.message for step in self.steps if step.side is side]

    def play(self, side: Side, peer: Peer) -> None:
        """Send this side's messages in their turn and receive all of the other's into `peer.received`."""
        for step in self.steps:
            if step.side is side:
                while len(peer.received) < step.after:
                    peer.receive_message()
                peer.send_message(step.message, sizes=step.sizes)
        while len(peer.received) < len(self.sent_by(side.other)):
            peer.receive_message()


def payloads(limit: int) -> st.SearchStrategy[bytes | None]:
    """Return data sets: none, empty, small, at the edges of fragments, and now and then a large one."""
    edges = [
        size
        for size in (0, 1, 4090, 4091, 16378, 16379, 32768, 32769, 61440, 61441, 300_001)
        if size <= limit
    ]

    def fill(size: int) -> bytes:
        return bytes((index * 7 + size) & 0xFF for index in range(min(size, 251))) * (size // 251 + 1)

    sized = st.one_of(st.integers(0, 600), st.sampled_from(edges))
    return st.one_of(st.none(), sized.map(lambda size: fill(size)[:size]))


def extras() -> st.SearchStrategy[dict[int, bytes]]:
    """Return command elements that no implementation of ours knows."""
    values = st.binary(max_size=20).map(lambda raw: raw + b"\0" * (len(raw) % 2))
    return st.dictionaries(st.sampled_from(UNKNOWN_TAGS), values, max_size=3)


@dataclass(slots=True)
class _Operation:
    side: Side
    ask: Message
    replies: list[tuple[Side, Message]]
    sizes: tuple[int, ...] | None


@st.composite
def operations(draw: st.DrawFn, contexts: Sequence[Context], message_id: int, side: Side) -> _Operation:
    """Draw one operation: request, its responses in order, maybe a cancel between them."""
    context = draw(st.sampled_from(list(contexts)))
    kind = draw(st.sampled_from([command for command in Command if command is not Command.C_CANCEL]))
    data = None if kind is Command.C_ECHO else draw(payloads(300_001))
    more: dict[int, int | str | bytes] = {**draw(extras())}
    if kind is Command.C_MOVE:
        more[Tag.MOVE_DESTINATION] = "SOMEWHERE ELSE.1"
    if kind is Command.C_STORE:
        more[Tag.AFFECTED_SOP_INSTANCE] = f"1.2.{message_id}"
        more[Tag.MOVE_ORIGINATOR] = "MOVER"
        more[Tag.MOVE_ORIGINATOR_ID] = message_id
    ask = request(kind, message_id, context.abstract, data=data, context_id=context.id, more=more)
    replies: list[tuple[Side, Message]] = []
    if kind in WITH_PENDING:
        pending = draw(st.integers(0, 6))
        for number in range(pending):
            counts: dict[int, int | str | bytes] = {Tag.REMAINING: pending - number, Tag.COMPLETED: number}
            status = draw(st.sampled_from((0xFF00, 0xFF01)))
            answer = response(ask, status, data=draw(payloads(61441)), more={**counts, **draw(extras())})
            replies.append((side.other, answer))
        if draw(st.booleans()):
            replies.insert(
                draw(st.integers(0, pending)), (side, cancel_rq(message_id, context_id=context.id))
            )
    answered = None if kind is Command.C_ECHO else draw(payloads(61441))
    final = response(ask, draw(st.sampled_from(STATUSES)), data=answered, more={**draw(extras())})
    replies.append((side.other, final))
    cuts = st.lists(st.integers(0, 4000), min_size=1, max_size=4).filter(lambda cut: sum(cut) >= 200)
    return _Operation(side, ask, replies, tuple(draw(cuts)) if draw(st.booleans()) else None)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """Draw a conversation of up to ten operations, up to three of them outstanding in each direction."""
    count = draw(st.integers(1, 5))
    contexts = [
        Context(2 * number + 1, draw(st.sampled_from(ABSTRACT)), ("1.2.840.10008.1.2",))
        for number in range(count)
    ]
    lengths = st.sampled_from((4096, 16384, 65537, 131072, 0))
    result = Conversation(contexts, draw(lengths), draw(lengths))
    sent = {Side.CLIENT: 0, Side.TARGET: 0}
    for _ in range(draw(st.integers(1, 4))):
        group: list[_Operation] = []
        for side in Side:
            # The same message ids on purpose: each direction has its own.
            first = draw(st.integers(0, 65000))
            group.extend(
                draw(operations(contexts, first + number, side)) for number in range(draw(st.integers(0, 3)))
            )
        # A group begins when all of the last one has been received: nothing is outstanding any more.
        base = dict(sent)
        queues = [[(operation.side, operation.ask), *operation.replies] for operation in group]
        asked_at: dict[int, int] = {}
        while any(queues):
            index = draw(st.sampled_from([number for number, waiting in enumerate(queues) if waiting]))
            side, message = queues[index].pop(0)
            own = group[index]
            sent[side] += 1
            if side is not own.side:
                result.steps.append(Step(side, message, asked_at[index]))
            else:
                sizes = None if index in asked_at else own.sizes
                result.steps.append(Step(side, message, base[side.other], sizes))
                asked_at.setdefault(index, sent[side])
    return result


def both(*parts: Callable[[], None]) -> None:
    """Run the parts at the same time and raise what the first failing one raised."""
    errors: list[BaseException] = []

    def run(part: Callable[[], None]) -> None:
        try:
            part()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
