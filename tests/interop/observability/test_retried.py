"""A handler dies with an operation in its hands: the operation is asked again, and stays one trace."""

from __future__ import annotations

from pathlib import Path

from tests.fault.archive import CONTEXTS, STORE
from tests.fault.conftest import TARGET, ground
from tests.interop.observability.observed import of_client, operations
from tests.support.files import pattern
from tests.support.otlp import Collector
from tests.support.process import wait_until
from tests.support.scripted import Client
from tests.support.tap import Tap
from tests.support.wire import store_rq


def test_operation_asked_again_stays_one_trace(tmp_path: Path) -> None:
    instances = [("hospital", "association"), ("hospital", "store"), ("cloud", "scu")]
    with Collector() as collector:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        with (
            ground(tmp_path, *instances, env=env) as where,
            where.archive(),
            Tap(where.nats.port) as tap,
            Client.open(where.entry, called=TARGET, calling="RETRIED", contexts=CONTEXTS) as client,
        ):
            (first,) = where.fleet.of("store")
            first.pause()
            client.send_message(store_rq(1, "1.2.3", pattern(200_000), context_id=STORE))
            wait_until(lambda: asked(tap) == 1, "the operation to be asked")
            where.fleet.start("hospital", "store")
            where.fleet.kill(first)
            assert client.receive_message().status == 0
            client.release()
            assert asked(tap) > 1
            spans = collector.wait(
                lambda spans: len(of_client(spans, "RETRIED")) >= 5, "a trace of 3 spans, and 2"
            )
        trace = next(iter(operations(of_client(spans, "RETRIED")).values()))
    by_kind = {span.kind: span for span in trace}
    assert len(trace) == 3
    assert by_kind["consumer"].parent == by_kind["server"].id
    assert by_kind["client"].parent == by_kind["consumer"].id
    assert not any(span.error for span in trace)


def asked(tap: Tap) -> int:
    """Return how often the handlers of C-STORE were asked."""
    return sum(message.subject.startswith("DIMSE.zone.hospital.store.") for message in tap.messages)
