"""Our tests see a rejection however late pynetdicom looks for it."""

from __future__ import annotations

import time

import pytest
from pynetdicom import evt

from tests.support.ports import reserve_port
from tests.support.pynet import entity, scp, scu, was_rejected
from tests.support.wire import IMPLICIT_LE, VERIFICATION


@pytest.mark.parametrize("delay", [0.0, 0.3])
@pytest.mark.parametrize("called", ["THERE", "NOBODY"])
def test_a_rejection_is_no_missing_connection(called: str, delay: float) -> None:
    server, client = entity("THERE"), entity("CLIENT")
    server.require_called_aet = True
    client.add_requested_context(VERIFICATION)
    slow = [(evt.EVT_REQUESTED, lambda _: time.sleep(delay))]
    contexts = [(VERIFICATION, [IMPLICIT_LE])]
    with (
        scp(server, [], port=reserve_port(), contexts=contexts) as port,
        scu(client, port, called=called, handlers=slow) as assoc,
    ):
        assert was_rejected(assoc) == (called == "NOBODY")
