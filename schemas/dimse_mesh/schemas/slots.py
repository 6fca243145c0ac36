"""Messages between the executors of a zone that keep a target's `max_associations` together (docs/adr: slots)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from dimse_mesh.schemas.service import AeTitle, WireModel

Holding = Annotated[int, Field(ge=0, le=1_000_000)]


class SlotRequest(WireModel):
    """What the sending executor holds of a target, to the zone's slot keeper.

    With a reply subject: may the last of them be opened? Without one: this is so, an association has ended.
    """

    ae_title: AeTitle
    holding: Holding
    """Associations of the sender with the target, the one that is asked for included."""
    limit: Holding = 0


class SlotAnswer(StrEnum):
    """What the keeper says."""

    GRANTED = "granted"
    FULL = "full"
    ASK_AGAIN = "ask-again"
    """The one asked is not the keeper, or has not heard of everybody yet."""


class SlotReply(WireModel):
    """Slot keeper to executor."""

    answer: SlotAnswer
