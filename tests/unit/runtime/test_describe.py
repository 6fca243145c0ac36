"""What `nats micro` shows of a service."""

from __future__ import annotations

import pytest

from dimse_mesh.runtime.counters import APPROVED, Counters
from dimse_mesh.runtime.process import describe
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.schemas.service import HANDLERS, ServiceName

HANDLED = ("C-STORE", "C-FIND", "C-MOVE", "C-GET", "C-CANCEL", "N-EVENT-REPORT", "N-CREATE")


@pytest.mark.parametrize(
    ("service", "requests"),
    [(ServiceName.STORE, 1), (ServiceName.QUERY_RETRIEVE, 4), (ServiceName.N_SERVICE, 2)],
)
def test_each_of_the_handlers_in_one_process_shows_its_own_operations(
    service: ServiceName, requests: int
) -> None:
    counters = Counters()
    for name in HANDLED:
        counters.operation_handled(name, APPROVED)
        counters.operation_handled(name, "policy")
    (endpoint,) = describe(service, ZoneSettings(zone="a"), counters).endpoints
    assert service in HANDLERS
    assert (endpoint.stats().requests, endpoint.stats().errors) == (2 * requests, requests)
