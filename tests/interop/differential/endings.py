"""How conversations begin badly and end: rejects, releases of every kind, aborts, at any moment."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.interop.differential.conversation import Do, Timeline
from tests.support.conversation import Side
from tests.support.wire import PduType, pdu

REJECTS = ((1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 1, 7), (1, 2, 1), (1, 2, 2), (2, 1, 1), (2, 3, 1), (2, 3, 2))
BODIES = (4, 4, 4, 4, 0, 1, 3, 5, 40)
"""Lengths of the body of an A-RELEASE PDU; 4 is the standard's."""


def release_rq(rng: Random) -> bytes:
    """Return an A-RELEASE-RQ, now and then of an odd length."""
    return pdu(PduType.RELEASE_RQ, bytes(rng.choice(BODIES)))


def release_rp(rng: Random) -> bytes:
    """Return an A-RELEASE-RP, now and then of an odd length."""
    return pdu(PduType.RELEASE_RP, bytes(rng.choice(BODIES)))


def abort(rng: Random) -> bytes:
    """Return an A-ABORT of the service user or the provider."""
    source, reason = rng.choice(((0, 0), (0, 0), (2, 0), (2, 1), (2, 2), (2, 4), (2, 5), (2, 6)))
    behind = bytes(rng.choice((0, 0, 0, 3)))
    return pdu(PduType.ABORT, bytes((0, 0, source, reason)) + behind)


def refuse(rng: Random, timeline: Timeline) -> None:
    """Let the target answer the A-ASSOCIATE-RQ with a reject or an abort."""
    if rng.random() < 0.7:
        triple = rng.choice(REJECTS)
        body = bytes((0, *triple)) + bytes(rng.choice((0, 0, 0, 1, 7)))
        timeline.send(Side.TARGET, pdu(PduType.ASSOCIATE_RJ, body), f"A-ASSOCIATE-RJ {triple}")
    else:
        timeline.send(Side.TARGET, abort(rng), "A-ABORT")


def give_up(rng: Random, timeline: Timeline) -> None:
    """Let the client abort when its A-ASSOCIATE-RQ has arrived, before it is answered."""
    timeline.end(Side.CLIENT, Do.SEND, data=abort(rng), note="A-ABORT")


def ask_for_release(rng: Random, timeline: Timeline, side: Side) -> None:
    """Let one side ask for release now, though the other may still have something to say."""
    timeline.send(side, release_rq(rng), "A-RELEASE-RQ", after=1)


def grant_release(rng: Random, timeline: Timeline, side: Side) -> None:
    """Let one side answer when it has said everything."""
    timeline.send(side, release_rp(rng), "A-RELEASE-RP")


def _release(rng: Random, timeline: Timeline, side: Side) -> None:
    timeline.send(side, release_rq(rng), "A-RELEASE-RQ")
    timeline.send(side.other, release_rp(rng), "A-RELEASE-RP")
    if rng.random() < 0.3:
        timeline.do(side.other, Do.CLOSE)


def release_by_client(rng: Random, timeline: Timeline) -> None:
    """Release in the order that the standard means."""
    _release(rng, timeline, Side.CLIENT)


def release_by_target(rng: Random, timeline: Timeline) -> None:
    """Release by the one who was called."""
    _release(rng, timeline, Side.TARGET)


def collide(_: Random, timeline: Timeline) -> None:
    """Let both ask for release at once (PS3.8 §7.2.2.7)."""
    before = dict(timeline.sent)
    for side in Side:
        timeline.do(side, Do.COLLIDE, after=before[side.other], note="A-RELEASE-RQ")


def _abort(rng: Random, timeline: Timeline, side: Side) -> None:
    timeline.end(side, Do.SEND, data=abort(rng), note="A-ABORT", settled=rng.random() < 0.7)


def abort_by_client(rng: Random, timeline: Timeline) -> None:
    """Let the client abort."""
    _abort(rng, timeline, Side.CLIENT)


def abort_by_target(rng: Random, timeline: Timeline) -> None:
    """Let the target abort."""
    _abort(rng, timeline, Side.TARGET)


def release_twice(rng: Random, timeline: Timeline) -> None:
    """Let one side ask again before it has the answer."""
    side = rng.choice(list(Side))
    timeline.send(side, release_rq(rng), "A-RELEASE-RQ")
    for _ in range(rng.choice((1, 1, 5))):
        timeline.do(side, Do.SEND, data=release_rq(rng), note="A-RELEASE-RQ again")
    timeline.send(side.other, release_rp(rng), "A-RELEASE-RP")


def _break_off(rng: Random, timeline: Timeline, side: Side) -> None:
    how = rng.choice((Do.CLOSE, Do.RESET))
    timeline.end(side, how, settled=rng.random() < 0.7)


def break_off_by_client(rng: Random, timeline: Timeline) -> None:
    """Let the client close, or reset, without a word."""
    _break_off(rng, timeline, Side.CLIENT)


def break_off_by_target(rng: Random, timeline: Timeline) -> None:
    """Let the target close, or reset, without a word."""
    _break_off(rng, timeline, Side.TARGET)


def fall_silent(rng: Random, timeline: Timeline, side: Side) -> None:
    """Let one side say that it will send no more, and still listen; now and then behind its A-RELEASE-RQ."""
    if rng.random() < 0.5:
        ask_for_release(rng, timeline, side)
    timeline.do(side, Do.FINISH, after=1)


def answer_and_close(rng: Random, timeline: Timeline, side: Side) -> None:
    """Let one side that has said everything answer a release, if it was asked, and close."""
    asked = any(
        step.data[:1] == bytes((PduType.RELEASE_RQ,)) for step in timeline.steps if step.side is not side
    )
    if asked:
        grant_release(rng, timeline, side)
    timeline.do(side, Do.CLOSE)


Ending = Callable[[Random, Timeline], None]
ORDERLY: tuple[Ending, ...] = (
    release_by_client,
    release_by_client,
    release_by_target,
    collide,
    release_twice,
)
"""Endings of a conversation of which nothing is outstanding."""
SUDDEN: tuple[Ending, ...] = (abort_by_client, abort_by_target, break_off_by_client, break_off_by_target)
"""Endings at any moment."""
