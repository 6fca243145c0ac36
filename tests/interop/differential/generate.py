"""A whole conversation from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tests.interop.differential import endings
from tests.interop.differential.conversation import Conversation, Do, Timeline
from tests.interop.differential.cutting import cut
from tests.interop.differential.negotiation import Negotiation, negotiation
from tests.interop.differential.operations import MessageIds, Turn, operation, unheard_of
from tests.interop.differential.transcript import describe
from tests.support.conversation import Side
from tests.support.wire import Context

Spoken = tuple[Turn, int]
"""A message, and how many messages of the other side its sender has received before."""


def _group(rng: Random, contexts: Sequence[Context], ids: MessageIds, sent: dict[Side, int]) -> list[Spoken]:
    """Return the messages of up to three operations from each side, all outstanding together.

    A group begins when all of the last one has been received: nothing is outstanding any more.
    """
    waiting = [
        (unheard_of if rng.random() < 0.05 else operation)(rng, side, contexts, ids)
        for side in Side
        for _ in range(rng.choice((0, 1, 1, 2, 3)))
    ]
    base = dict(sent)
    heard = [{side: base[side.other] for side in Side} for _ in waiting]
    spoken: list[Spoken] = []
    while any(waiting):
        index = rng.choice([number for number, turns in enumerate(waiting) if turns])
        turn = waiting[index].pop(0)
        after = heard[index][turn.side]
        spoken.append((turn, after))
        sent[turn.side] += 1
        if turn.waits:  # what follows from the other side answers it
            heard[index][turn.side.other] = sent[turn.side]
    return spoken


def _messages(rng: Random, negotiated: Negotiation) -> list[Spoken]:
    ids = MessageIds()
    sent = {Side.CLIENT: 1, Side.TARGET: 1}  # the A-ASSOCIATE PDUs
    spoken: list[Spoken] = []
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        spoken += _group(rng, negotiated.accepted, ids, sent)
    return spoken


def generate(seed: int, called: str) -> Conversation:
    """Return the conversation with this seed, between a client and the AE `called`."""
    rng = Random(seed)
    negotiated = negotiation(rng, called)
    limits = {Side.CLIENT: negotiated.client_max, Side.TARGET: negotiated.target_max}
    timeline = Timeline()
    timeline.send(Side.CLIENT, negotiated.request, "A-ASSOCIATE-RQ")
    opening = rng.random()
    if opening < 0.05:
        endings.refuse(rng, timeline)
    elif opening < 0.07:
        endings.give_up(rng, timeline)
    else:
        timeline.send(Side.TARGET, negotiated.accept, "A-ASSOCIATE-AC")
        spoken = _messages(rng, negotiated) if negotiated.accepted else []
        _speak(rng, spoken, limits, timeline)
    return Conversation(seed, tuple(timeline.steps), limits, timeline.settled, timeline.ended_by)


def _speak(rng: Random, spoken: Sequence[Spoken], limits: dict[Side, int], timeline: Timeline) -> None:
    """Add the messages, or some of them, and the end."""

    def say(part: Sequence[Spoken]) -> None:
        for turn, after in part:
            message = turn.message
            data = cut(rng, message, limits[turn.side.other])
            timeline.send(turn.side, data, describe(message), after=after)

    now = rng.randrange(len(spoken) + 1)
    match rng.choices(("orderly", "sudden", "cut", "early", "silent"), (6, 3, 1, 2, 2))[0]:
        case "orderly":
            say(spoken)
            rng.choice(endings.ORDERLY)(rng, timeline)
        case "sudden":
            say(spoken[:now])
            rng.choice(endings.SUDDEN)(rng, timeline)
        case "cut":  # broken off at any byte of a message
            say(spoken[:now])
            if now < len(spoken):
                turn, after = spoken[now]
                data = cut(rng, turn.message, limits[turn.side.other])
                piece = data[: rng.randrange(1, len(data))]
                timeline.do(turn.side, Do.SEND, data=piece, note="the beginning of a message", after=after)
                ending = (endings.break_off_by_client, endings.break_off_by_target)
                ending[turn.side is Side.TARGET](rng, timeline)
            else:
                rng.choice(endings.SUDDEN)(rng, timeline)
        case ending:  # while answers are owed, which then arrive before the end
            asker = rng.choice(list(Side))
            say(spoken[:now])
            heard = timeline.sent[asker]
            (endings.ask_for_release if ending == "early" else endings.fall_silent)(rng, timeline, asker)
            say([(turn, after) for turn, after in spoken[now:] if turn.side is not asker and after <= heard])
            last = endings.grant_release if ending == "early" else endings.answer_and_close
            last(rng, timeline, asker.other)
