"""Which differences between a direct connection and the mesh are allowed.

They are those of docs/conformance-statement.md, "What a peer can tell from a direct connection", and no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.interop.differential.conversation import Conversation, Do
from tests.interop.differential.transcript import ENDS, Item, Kind, Opening
from tests.support.conversation import Side

OWN_ITEMS = (0x51, 0x52, 0x55)
"""Maximum length, implementation class UID and version name: each node's own."""


def _without_own_items(item: Item) -> Item:
    opening = item.value
    assert isinstance(opening, Opening)
    said = opening.said
    others = tuple((kind, body) for kind, body in said.user_items if kind not in OWN_ITEMS)
    # PS3.8 §9.3.3.2: the transfer syntax of a refused context is not significant.
    results = tuple(one if one.result == 0 else replace(one, transfer="") for one in said.results)
    said = replace(said, user_items=others, results=results)
    if item.kind is Kind.ASSOCIATE_AC:  # PS3.8 §9.3.3: the client's own titles, which nobody tests
        said = replace(said, called=b"", calling=b"")
    return replace(item, value=replace(opening, said=said))


def comparable(items: Sequence[Item], conversation: Conversation) -> list[Item]:
    """Return what has to be the same on both ways."""
    collided = any(step.do is Do.COLLIDE for step in conversation.steps)
    answered = any(step.side is Side.TARGET for step in conversation.steps)
    result = []
    for item in items:
        if item.kind in {Kind.ASSOCIATE_RQ, Kind.ASSOCIATE_AC}:
            result.append(_without_own_items(item))
        elif item.kind is Kind.PARTIAL or (collided and item.kind is Kind.RELEASE_RQ):
            continue
        elif item.kind is Kind.RELEASE_RQ and result[-1:] == [item]:
            continue  # asked again: PS3.8 table 9-10 has no place for it
        elif item.kind is Kind.RESET:
            result.append(Item(Kind.CLOSED))
        elif item.kind is Kind.ABORT and not answered:
            result.append(replace(item, value=None))
        else:
            result.append(item)
    return result


def differ(side: Side, direct: Sequence[Item], mesh: Sequence[Item], conversation: Conversation) -> bool:
    """Tell whether what `side` saw differs in more than what is documented."""
    one, other = comparable(direct, conversation), comparable(mesh, conversation)
    if conversation.ended_by is side:
        return False if not conversation.settled else one != other
    if conversation.ended_by is side.other and not conversation.settled:
        # An A-ABORT may overtake messages, a reset destroys them: one way may have got further than the other.
        direct_messages, mesh_messages = (
            [item for item in items if item.kind not in ENDS] for items in (one, other)
        )
        shared = min(len(direct_messages), len(mesh_messages))
        return direct_messages[:shared] != mesh_messages[:shared] or other[-1:] != one[-1:]
    return one != other
