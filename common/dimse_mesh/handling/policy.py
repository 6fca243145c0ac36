"""What a route lets a client ask for: handlers apply it, and the front-end to what no handler is asked about."""

from __future__ import annotations

from dimse_mesh.dimse import CommandField, FailureReason
from dimse_mesh.endpoint.identity import dimse_service
from dimse_mesh.runtime.routing import DimseService, Route

_SERVICES = frozenset(DimseService)


def objection(route: Route, command_field: int) -> FailureReason | None:
    """Return why a client on this route may not ask for this operation, or None.

    Without an `allow` list all passes, known to PS3.7 or not; with one, only what it names, and C-CANCEL, which
    concerns what was allowed before.
    """
    if route.allow is None or command_field == CommandField.C_CANCEL_RQ:
        return None
    service = dimse_service(command_field)
    if service not in _SERVICES:
        return FailureReason.UNRECOGNIZED_OPERATION
    return None if route.allows(DimseService(service)) else FailureReason.NOT_AUTHORIZED
