"""What a policy is asked: at the door, at the opening of an association, and at each operation."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionQuestion:
    """May this peer associate here? Asked by a front-end, before the mesh hears of it.

    Attributes:
        listener: AE titles that the listener answers for; None: all.
        certificate: the subject of the TLS certificate that the peer has proved to own; None: it has shown none.
        user_identity: type and primary field of the User Identity item (PS3.7 §D.3.3.7); None: there is none.
        open_associations: how many the front-end has already.
        draining: whether it is stopping.
    """

    peer_host: str
    certificate: str | None
    called_ae: str
    calling_ae: str
    protocol_version: int
    user_identity: tuple[int, bytes] | None = field(repr=False)
    listener: tuple[str, ...] | None
    open_associations: int
    draining: bool


class Side(StrEnum):
    """Which end of the mesh asks about an opening."""

    FRONT_END = "front-end"
    EXECUTOR = "executor"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningQuestion:
    """May an association that came in from a zone be opened here? Asked by the front-end and by the executor.

    Attributes:
        from_zone: of the front-end.
        target: AE title of the target by the mesh's name; the executor's side knows it, the front-end's not always.
    """

    side: Side
    from_zone: str
    called_ae: str
    calling_ae: str
    target: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationQuestion:
    """May this operation be performed? Asked by a handler, or by the endpoint for what no handler is asked about.

    Attributes:
        service: the name of the DIMSE service, `unknown` for what PS3.7 doesn't define.
        from_client: whether the association's requestor asks; else its acceptor does.
    """

    command_field: int
    service: str
    called_ae: str
    calling_ae: str
    from_client: bool


Question = AdmissionQuestion | OpeningQuestion | OperationQuestion
