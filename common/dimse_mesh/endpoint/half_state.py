"""The states of an association half, beside those of PS3.8 that `AssociationMachine` keeps for the peer's side."""

from __future__ import annotations

from enum import Enum


class HalfState(Enum):
    """From the choice of a channel to the end of the association."""

    OPENING = "opening"
    """The channel exists; what comes early from the other endpoint is kept, nothing written."""
    LINKED = "linked"
    """`establish` was called: data flow both ways."""
    ENDED = "ended"
    """Released, aborted or closed: nothing is read or written; kept only until the other endpoint knows."""
