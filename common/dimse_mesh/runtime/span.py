"""A span from its start to its export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SpanKind = Literal["internal", "server", "client", "producer", "consumer"]
AttributeValue = str | int | float | bool


@dataclass(slots=True)
class RunningSpan:
    """What `Tracing` hands out."""

    name: str
    kind: SpanKind
    trace_id: bytes
    """16 bytes."""
    span_id: bytes
    """8 bytes."""
    parent_id: bytes | None
    """8 bytes, of a span of another process; None: it is a root."""
    attributes: dict[str, AttributeValue]
    started: int
    """Nanoseconds since 1970."""
    ended: int = 0
    """The same."""
    error_code: str | None = None
    """Why what it covers failed; None: it didn't."""

    @property
    def traceparent(self) -> str:
        """The W3C traceparent by which other spans become its children."""
        return f"00-{self.trace_id.hex()}-{self.span_id.hex()}-01"
