"""Probes over real HTTP: liveness, readiness with its reason, metrics; bounds against bad clients."""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import Any

import anyio
import pytest
from anyio._backends._asyncio import TCPSocketListener

from dimse_mesh.runtime import health
from dimse_mesh.runtime.counters import Counters, Load
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.health import MAX_REQUEST_BYTES, MOST_CHARGED, SAVED, HealthServer
from dimse_mesh.runtime.settings_observability import HttpSettings, ObservabilitySettings
from dimse_mesh.runtime.telemetry import Telemetry
from dimse_mesh.schemas.service import ServiceName
from tests.support.exposition import open_metrics_in


async def exchange(port: int, request: bytes) -> bytes:
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(request)
        answer = b""
        with anyio.fail_after(10):
            async for part in stream:
                answer += part
        return answer


async def _probe_everything() -> None:
    reasons: list[str | None] = ["starting"]

    def exposition(accepted: str) -> tuple[str, bytes]:
        return "text/plain", f"a 1\n{accepted}\n".encode()

    server = HealthServer(HttpSettings(port=0), unready=lambda: reasons[-1], exposition=exposition)
    async with anyio.create_task_group() as tasks:
        port = await tasks.start(server.serve)
        assert b"200 OK" in await exchange(port, b"GET /livez HTTP/1.1\r\n\r\n")
        answer = await exchange(port, b"GET /readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503")
        assert answer.endswith(b"starting\n")
        reasons.append(None)
        assert b"200 OK" in await exchange(port, b"GET /readyz HTTP/1.1\r\n\r\n")
        assert (await exchange(port, b"GET /metrics HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\na 1\n\n")
        asked = b"GET /metrics HTTP/1.1\r\naccept: text/x\r\nHost: x\r\nAccept: text/y;q=0.5\r\n\r\n"
        assert (await exchange(port, asked)).endswith(b"\r\n\r\na 1\ntext/x,text/y;q=0.5\n")
        assert (await exchange(port, b"HEAD /metrics HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")
        assert b" 404 " in await exchange(port, b"GET /etc/passwd HTTP/1.1\r\n\r\n")
        assert b" 405 " in await exchange(port, b"POST /livez HTTP/1.1\r\n\r\n")
        assert b" 400 " in await exchange(port, b"\x00\x01\r\n\r\n")
        assert b" 400 " in await exchange(port, b"x" * (MAX_REQUEST_BYTES + 1))
        assert b"200 OK" in await exchange(port, b"GET /livez HTTP/1.1\r\n\r\n")
        tasks.cancel_scope.cancel()


def test_probes_answer_over_http() -> None:
    anyio.run(_probe_everything)


async def _serve_twice_on_one_port() -> None:
    async with anyio.create_task_group() as tasks:
        port = await tasks.start(HealthServer(HttpSettings(port=0), unready=lambda: None).serve)
        with pytest.raises(StartError, match=rf"observability\.http.*127\.0\.0\.1:{port}.*in use"):
            await HealthServer(HttpSettings(port=port), unready=lambda: None).serve()
        tasks.cancel_scope.cancel()


def test_who_asks_for_metrics_again_and_again_waits_and_no_probe_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, pages = 100.0, 0
    monkeypatch.setattr(health, "perf_counter", lambda: now)

    def exposition(_: str) -> tuple[str, bytes]:
        nonlocal now, pages
        now += MOST_CHARGED
        pages += 1
        return "text/plain", b"a 1\n"

    async def main() -> None:
        server = HealthServer(HttpSettings(port=0), unready=lambda: None, exposition=exposition)
        async with anyio.create_task_group() as tasks:
            port = await tasks.start(server.serve)

            async def flood() -> None:
                while True:
                    with suppress(anyio.BrokenResourceError):
                        await exchange(port, b"GET /metrics HTTP/1.1\r\n\r\n")

            tasks.start_soon(flood)
            before = -1
            # Until it has used up its share: the clock stands still.
            while before < pages or pages < SAVED / MOST_CHARGED:
                before = pages
                await anyio.sleep(0.2)
            for _ in range(5):
                assert b"200 OK" in await exchange(port, b"GET /livez HTTP/1.1\r\n\r\n")
            tasks.cancel_scope.cancel()

    anyio.run(main)
    assert SAVED / MOST_CHARGED <= pages <= 2 * SAVED / MOST_CHARGED


def test_a_failure_to_accept_is_not_the_end_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "ACCEPT_PAUSE", 0.0)
    accept, failures = TCPSocketListener.accept, 3

    async def accept_or_not(listener: TCPSocketListener) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return await accept(listener)

    monkeypatch.setattr(TCPSocketListener, "accept", accept_or_not)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            port = await tasks.start(HealthServer(HttpSettings(port=0), unready=lambda: None).serve)
            assert b"200 OK" in await exchange(port, b"GET /livez HTTP/1.1\r\n\r\n")
            tasks.cancel_scope.cancel()

    anyio.run(main)
    assert failures == 0


def test_port_in_use_is_one_clear_line() -> None:
    anyio.run(_serve_twice_on_one_port)


def test_counters_come_out_as_metrics() -> None:
    counters = Counters()
    telemetry = Telemetry.from_settings(
        ObservabilitySettings(http=HttpSettings(port=0)),
        service=ServiceName.SCU,
        zone="a",
        instance="i",
        counters=counters,
        environ={},
    )
    counters.association_opened()
    counters.association_rejected(1, 1, 7)
    counters.operation_finished("C-STORE", "success", 0.02)
    counters.protocol_error("unknown-context")
    counters.bytes_in += 7
    counters.load = lambda: Load(operations=2, bytes_in=5)
    assert telemetry.metrics is not None
    text = telemetry.metrics.exposition()[1].decode()
    rejected = 'reason="called_ae_title_not_recognized",result="permanent",source="service_user"'
    for line in (
        "dimse_mesh_associations_open 1.0",
        f"dimse_mesh_associations_rejected_total{{{rejected}}} 1.0",
        'dimse_mesh_operations_total{outcome="success",service="C-STORE"} 1.0',
        "dimse_mesh_operations_in_flight 2.0",
        'dimse_mesh_operation_duration_seconds_bucket{le="0.01",service="C-STORE"} 0.0',
        'dimse_mesh_operation_duration_seconds_bucket{le="0.025",service="C-STORE"} 1.0',
        'dimse_mesh_operation_duration_seconds_sum{service="C-STORE"} 0.02',
        'dimse_mesh_protocol_errors_total{code="unknown-context"} 1.0',
        "dimse_mesh_dicom_received_bytes_total 12.0",
    ):
        assert line in text.splitlines()
    telemetry.metrics.shutdown()


def test_openmetrics_is_served_when_asked_for_and_has_the_traces_of_examples() -> None:
    counters = Counters()
    telemetry = Telemetry.from_settings(
        ObservabilitySettings(http=HttpSettings(port=0)),
        service=ServiceName.ASSOCIATION,
        zone="a",
        instance="i",
        counters=counters,
        environ={},
    )
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    counters.operation_finished("C-STORE", "success", 0.02, traceparent=f"00-{trace}-{span}-01")
    counters.operation_finished("C-STORE", "success", 0.03)
    assert telemetry.metrics is not None
    kind, body = telemetry.metrics.exposition("application/openmetrics-text;version=1.0.0,text/plain;q=0.2")
    assert kind.startswith("application/openmetrics-text")
    examples = {
        sample.labels["le"]: sample.exemplar for sample in open_metrics_in(body.decode()) if sample.exemplar
    }
    assert examples.keys() == {"0.025"}
    assert examples["0.025"].labels == {"trace_id": trace, "span_id": span}
    assert examples["0.025"].value == 0.02
    kind, body = telemetry.metrics.exposition("text/plain")
    assert kind.startswith("text/plain")
    assert trace not in body.decode()
    telemetry.metrics.shutdown()
