"""What an executor tells the front-ends of its zone of operations that targets answer by associations of their own."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dimse_mesh.schemas.service import AeTitle, WireModel


class CallbackNotice(WireModel):
    """A C-MOVE, or a request for storage commitment, to a target for which AE titles were rewritten."""

    target_title: AeTitle
    """The called AE title that the target got: what it is expected to call itself."""
    client_title: AeTitle
    """The calling AE title that the target got: what it calls the client."""
    called_ae: AeTitle
    """What the client has called the target."""
    calling_ae: AeTitle
    """What the client calls itself."""
    message_id: Annotated[int, Field(ge=0, le=0xFFFF)]
    destination: AeTitle | None = None
    """To which a C-MOVE sends; None: storage commitment, whose report goes to the client."""
