"""Messages between the executors of a zone that keep a target's `max_associations` together (docs/adr: slots)."""

from __future__ import annotations

from enum import StrEnum

from dimse_mesh.schemas.service import WireModel


class SlotRequest(WireModel):
    """What an executor holds of a target, to the zone's slot keeper.

    With a reply subject: may the last of them be opened? Without one: this is so, an association has ended.
    """

    instance: str
    ae_title: str
    holding: int
    """Associations of `instance` with the target, the one that is asked for included."""
    limit: int = 0


class SlotAnswer(StrEnum):
    """What the keeper says."""

    GRANTED = "granted"
    FULL = "full"
    ASK_AGAIN = "ask-again"
    """The one asked is not the keeper, or has not heard of everybody yet."""


class SlotReply(WireModel):
    """Slot keeper to executor."""

    answer: SlotAnswer
