"""An OTLP/HTTP receiver that keeps the spans which it gets, and tells when the wanted ones are there."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status as ProtoStatus

Value = str | int | float | bool
PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Span:
    """One exported span."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    """Id of the parent; empty: it is a root."""
    service: str
    zone: str
    attributes: Mapping[str, Value]
    resource: Mapping[str, Value]
    error: bool
    status_text: str
    start: int
    """Nanoseconds since the epoch."""
    end: int
    events: int

    @property
    def where(self) -> str:
        """`<zone>/<service>`."""
        return f"{self.zone}/{self.service.removeprefix('dimse-mesh-')}"


class Collector:
    """Listens on a free port of 127.0.0.1 from the start of the `with` block."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        """Bodies as received, unpacked."""
        self.headers: list[dict[str, str]] = []
        self._spans: list[Span] = []
        self._changed = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(body, dict(self.headers.items()))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Keep the tests' output quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        """Keep one export."""
        spans = list(_spans_of(ExportTraceServiceRequest.FromString(body)))
        with self._changed:
            self.raw.append(body)
            self.headers.append(headers)
            self._spans += spans
            self._changed.notify_all()

    @property
    def spans(self) -> list[Span]:
        """What has come so far."""
        with self._changed:
            return list(self._spans)

    def wait(
        self, enough: Callable[[list[Span]], bool], what: str, *, timeout: float = PATIENCE
    ) -> list[Span]:
        """Return all spans as soon as they are `enough`.

        Raises:
            AssertionError: they were not within `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: enough(list(self._spans)), timeout):
                seen = "\n".join(f"{span.where} {span.kind} {span.name}" for span in self._spans[-60:])
                raise AssertionError(f"after {timeout:g} s still waiting: {what}; the last spans:\n{seen}")
            return list(self._spans)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _spans_of(request: ExportTraceServiceRequest) -> list[Span]:
    found: list[Span] = []
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        found += [
            Span(
                name=span.name,
                kind=ProtoSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                trace=span.trace_id.hex(),
                id=span.span_id.hex(),
                parent=span.parent_span_id.hex(),
                service=str(resource.get("service.name", "")),
                zone=str(resource.get("dimse_mesh.zone", "")),
                attributes=_attributes(span.attributes),
                resource=resource,
                error=span.status.code == ProtoStatus.STATUS_CODE_ERROR,
                status_text=span.status.message,
                start=span.start_time_unix_nano,
                end=span.end_time_unix_nano,
                events=len(span.events),
            )
            for scope in group.scope_spans
            for span in scope.spans
        ]
    return found


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    kind = value.WhichOneof("value")
    assert kind in {"string_value", "int_value", "double_value", "bool_value"}, f"an attribute is a {kind}"
    taken: Value = getattr(value, kind)
    return taken
