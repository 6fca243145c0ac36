"""W3C trace context (https://www.w3.org/TR/trace-context/#traceparent-header), and the exporter of spans.

OpenTelemetry is imported only by `Tracing` (in `span_export`), so a process that doesn't trace pays nothing for it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dimse_mesh.runtime.span import AttributeValue, RunningSpan, SpanKind

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource


_HEADER = "traceparent"
_TRACEPARENT_LENGTH = 55
_LONGEST_TRACEPARENT = 256
"""Characters: a later version of the standard may add some."""
_HEX = frozenset("0123456789abcdef")


def trace_headers(traceparent: str | None) -> dict[str, str] | None:
    """Return the message headers that carry a traceparent; None: there is none, and so no headers."""
    return {_HEADER: traceparent} if traceparent is not None else None


def traceparent_in(headers: Mapping[str, str] | None) -> str | None:
    """Return the traceparent that a message's headers carry, unless it is too long to be one."""
    found = headers.get(_HEADER) if headers else None
    return found if found is None or len(found) <= _LONGEST_TRACEPARENT else None


def is_sampled(traceparent: str) -> bool:
    """Tell whether a traceparent's `sampled` flag is set; cheap, and False for what isn't one."""
    return len(traceparent) >= _TRACEPARENT_LENGTH and traceparent[54] in "13579bdf"


def parse_traceparent(text: str) -> tuple[int, int, int] | None:
    """Return (trace id, span id, flags), or None when `text` is no valid traceparent."""
    parts = text.split("-")
    if len(parts) < 4 or (parts[0] == "00" and len(parts) > 4) or parts[0] == "ff":
        return None
    lengths = tuple(map(len, parts[:4]))
    if lengths != (2, 32, 16, 2) or not _HEX.issuperset("".join(parts[:4])):
        return None
    trace_id, span_id = int(parts[1], 16), int(parts[2], 16)
    if not trace_id or not span_id:
        return None
    return trace_id, span_id, int(parts[3], 16)


class Tracing:
    """Makes spans and exports them over OTLP/HTTP in the background.

    Its caller has decided what is sampled: a root by the ratio, a child as its parent. A span belongs to one thread
    until it has ended.
    """

    def __init__(self, resource: Resource, environ: Mapping[str, str]) -> None:
        from dimse_mesh.runtime.span_export import SpanExport

        self._export = SpanExport(resource, "dimse_mesh", environ)

    def start(
        self,
        name: str,
        *,
        kind: SpanKind,
        parent: tuple[int, int, int] | None,
        attributes: Mapping[str, AttributeValue] | None,
    ) -> RunningSpan:
        """Start a span, a root when `parent` is None."""
        if parent is None:
            trace_id, parent_id = random.getrandbits(128) or 1, None
        else:
            trace_id, parent_id = parent[0], parent[1].to_bytes(8, "big")
        return RunningSpan(
            name,
            kind,
            trace_id.to_bytes(16, "big"),
            (random.getrandbits(64) or 1).to_bytes(8, "big"),
            parent_id,
            dict(attributes or ()),
            time.time_ns(),
        )

    def end(
        self, span: RunningSpan, error_code: str | None, attributes: Mapping[str, AttributeValue]
    ) -> None:
        """End a span; `error_code` (a code, never a peer's text) makes it an error."""
        span.attributes.update(attributes)
        if error_code is not None:
            span.attributes["error.type"] = span.error_code = error_code
        span.ended = time.time_ns()
        self._export.take(span)

    def shutdown(self) -> threading.Event:
        """Export what is left in a daemon thread; the event is set when that is done."""
        done = threading.Event()

        def run() -> None:
            self._export.shutdown()
            done.set()

        threading.Thread(target=run, name="span-flush", daemon=True).start()
        return done
