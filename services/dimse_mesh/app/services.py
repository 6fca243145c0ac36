"""The services by name. Each is imported only by the process that runs it."""

from __future__ import annotations

from typing import assert_never

from dimse_mesh.runtime.process import ServiceMain
from dimse_mesh.schemas.service import ServiceName


def spelt(service: ServiceName) -> str:
    """Return a service's name as the command line spells it."""
    return service.value.replace("_", "-")


def main_of(service: ServiceName) -> ServiceMain:
    """Import a service and return its `run`."""
    match service:
        case ServiceName.ASSOCIATION:
            from dimse_mesh.association import run
        case ServiceName.STORE:
            from dimse_mesh.store import run
        case ServiceName.QUERY_RETRIEVE:
            from dimse_mesh.query_retrieve import run
        case ServiceName.N_SERVICE:
            from dimse_mesh.n_service import run
        case ServiceName.SCU:
            from dimse_mesh.scu import run
        case ServiceName.DELIVERY:
            from dimse_mesh.delivery import run
        case _:
            assert_never(service)
    return run
