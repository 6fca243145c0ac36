"""The two ends of an association, and the services that handle its operations."""

from __future__ import annotations

from dataclasses import dataclass

from dimse_mesh.dimse.head import RESPONSE_BIT
from dimse_mesh.schemas.addresses import HalfAddress
from dimse_mesh.schemas.service import OPERATIONS, ServiceName


@dataclass(slots=True, kw_only=True)
class AssociationIdentity:
    """What a half needs to know of its association: to address its other half, and to describe it."""

    association: str
    home_zone: str
    """Of the front-end: its routes and handlers apply."""
    calling_ae: str
    called_ae: str
    from_client: bool
    """True at the front-end: its peer is the client."""
    local: HalfAddress
    remote: HalfAddress | None = None
    """Known when the association is accepted."""


def handler_of(command_field: int) -> ServiceName | None:
    """Return the service that handles a request; None: it goes straight to the other endpoint.

    C-ECHO proves the path, responses belong to requests that were handled, and what PS3.7 doesn't
    know has no handler.
    """
    return _HANDLERS.get(command_field)


_SERVICE_NAMES = {
    0x0001: "C-STORE",
    0x0010: "C-GET",
    0x0020: "C-FIND",
    0x0021: "C-MOVE",
    0x0030: "C-ECHO",
    0x0100: "N-EVENT-REPORT",
    0x0110: "N-GET",
    0x0120: "N-SET",
    0x0130: "N-ACTION",
    0x0140: "N-CREATE",
    0x0150: "N-DELETE",
    0x0FFF: "C-CANCEL",
}

_HANDLERS = {
    command_field: handler
    for handler, services in OPERATIONS.items()
    for command_field, service in _SERVICE_NAMES.items()
    if service in services
}


def dimse_service(command_field: int) -> str:
    """Return the name of the DIMSE service that a command belongs to, for spans, metrics and routes."""
    return _SERVICE_NAMES.get(command_field & ~RESPONSE_BIT, "unknown")
