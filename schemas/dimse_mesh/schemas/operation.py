"""Messages of one DIMSE operation on its way through a handler.

The command set, and the data set when it is small, follow the head as the envelope's raw tail: `command_length`
bytes of command set, then the data set. Once the handler has approved, the same message goes on to the sink's
private subject.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dimse_mesh.schemas.addresses import AddressText, HalfAddress
from dimse_mesh.schemas.association import AssociationId
from dimse_mesh.schemas.service import AeTitle, Channel, Position, WireModel


class OperationRequest(WireModel):
    """A DIMSE request (or C-CANCEL) from either endpoint. Tail: command set, then the data set if it is whole."""

    association: AssociationId
    position: Position
    """Of this segment in its direction; with `association` and `source` the operation's id."""
    length: Annotated[int, Field(ge=1, le=1 << 30)]
    """Of the segment in the sequence: by how much it moves the position."""
    source: AddressText
    """The instance that asks: the handler compares it with the subject, the sink with the half that it knows."""
    source_channel: Channel
    sink: AddressText
    sink_channel: Channel
    context_id: Annotated[int, Field(ge=0, le=255)]
    command_length: Annotated[int, Field(ge=0, le=1 << 30)]
    whole: bool
    """True: the data set (if any) is in the tail. False: it follows in DATA frames."""
    acknowledged: Position
    """Position up to which the source consumed the other direction."""
    calling_ae: AeTitle
    called_ae: AeTitle
    from_client: bool
    """False: the request came from the target (C-GET sub-operation, N-EVENT-REPORT)."""

    def is_from(self, half: HalfAddress) -> bool:
        """Tell whether that half of an association asks."""
        return self.source_channel == half.channel and self.source == half.instance.tokens


class Refusal(WireModel):
    """Handler to source endpoint: do not perform this operation. Tail: the command set of the response."""

    association: AssociationId
    channel: Channel
    position: Position
    code: Annotated[str, Field(max_length=64, pattern=r"^[a-z0-9_-]+$")]
    """Why, for logs and spans: `policy`, `unsupported`, ..."""
