"""Messages of one DIMSE operation on its way through a handler.

A request is the MESSAGE frame that its sink is to get, behind a head that says whose it is. The head is the same for
all requests of one end of an association, so it is encoded and read once. Once the handler has approved, the same
message goes on to the sink's private subject.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dimse_mesh.schemas.addresses import AddressText, HalfAddress
from dimse_mesh.schemas.association import AssociationId
from dimse_mesh.schemas.service import AeTitle, Channel, Position, WireModel


class OperationRequest(WireModel):
    """Who asks for an operation, of whom. Tail: a MESSAGE frame with the DIMSE request (or C-CANCEL).

    The frame's position, with `association` and `source`, is the operation's id.
    """

    association: AssociationId
    source: AddressText
    """The instance that asks: the handler compares it with the subject, the sink with the half that it knows."""
    source_channel: Channel
    sink: AddressText
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
