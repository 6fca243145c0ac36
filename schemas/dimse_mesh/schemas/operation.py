"""Messages of one DIMSE operation on its way through a handler.

The command set, and the data set when it is small, follow the head as the envelope's raw tail: `command_length`
bytes of command set, then the data set. Once the handler has approved, the same message goes on to the sink's
private subject.
"""

from __future__ import annotations

from dimse_mesh.schemas.association import Endpoint
from dimse_mesh.schemas.service import WireModel


class OperationRequest(WireModel):
    """A DIMSE request (or C-CANCEL) from either endpoint. Tail: command set, then the data set if it is whole."""

    association: str
    position: int
    """Of this segment in its direction; with `association` and `source` the operation's id."""
    span: int
    source: Endpoint
    sink: Endpoint
    context_id: int
    command_length: int
    whole: bool
    """True: the data set (if any) is in the tail. False: it follows in DATA frames."""
    acknowledged: int
    """Position up to which the source consumed the other direction."""
    calling_ae: str
    called_ae: str
    from_client: bool
    """False: the request came from the target (C-GET sub-operation, N-EVENT-REPORT)."""


class Refusal(WireModel):
    """Handler to source endpoint: do not perform this operation. Tail: the command set of the response."""

    association: str
    channel: int
    position: int
    code: str
    """Why, for logs and spans: `policy`, `unsupported`, ..."""
