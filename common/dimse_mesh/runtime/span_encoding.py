"""A span as OTLP sends it: the bytes of opentelemetry-proto's `Span`.

The SDK makes an object for each attribute and each value, and copies them all into the span's: fifteen times the CPU.
Only the fields that a span of ours has are written here; a test compares each of them with what the SDK writes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache

from dimse_mesh.runtime.span import AttributeValue, RunningSpan, SpanKind

_KINDS: Mapping[SpanKind, int] = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}
_CACHED = 2048
"""Attributes whose bytes are kept: most spans repeat those of the span before."""

# Fields of protobuf are written as (number << 3 | wire type); these are of `Span`, `Status` and `AnyValue`.
_TRACE_ID = b"\x0a\x10"
_SPAN_ID = b"\x12\x08"
_PARENT_ID = b"\x22\x08"
_TIMES = struct.Struct("<BQBQ")
_STARTED, _ENDED = 0x39, 0x41
_ATTRIBUTE = 9
_STATUS = 15
_UNSET = b"\x7a\x00"
_IS_ERROR = b"\x18\x02"
_FLAGS_OF_ROOT = b"\x85\x01" + struct.pack("<I", 0x100)
"""Says that whether the parent is remote is known, and it isn't;"""
_FLAGS_OF_CHILD = b"\x85\x01" + struct.pack("<I", 0x300)
"""that it is."""


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it; a negative one as an int64."""
    number &= 0xFFFF_FFFF_FFFF_FFFF
    if number < 0x80:
        return bytes((number,))
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def field(number: int, content: bytes) -> bytes:
    """Return a field that holds bytes, text or a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


@lru_cache(_CACHED, typed=True)
def _name_and_kind(name: str, kind: SpanKind) -> bytes:
    return field(5, name.encode()) + b"\x30" + varint(_KINDS[kind])


@lru_cache(_CACHED, typed=True)
def _attribute(key: str, value: AttributeValue) -> bytes:
    match value:
        case bool():
            content = b"\x10" + varint(value)
        case str():
            content = field(1, value.encode(errors="replace"))
        case int():
            content = b"\x18" + varint(value)
        case float():
            content = b"\x21" + struct.pack("<d", value)
    return field(_ATTRIBUTE, field(1, key.encode()) + field(2, content))


def encode_span(span: RunningSpan) -> bytes:
    """Return a span that has ended as the field `spans` of `ScopeSpans`."""
    parts = [_TRACE_ID, span.trace_id, _SPAN_ID, span.span_id]
    if span.parent_id is not None:
        parts += (_PARENT_ID, span.parent_id)
    parts += (_name_and_kind(span.name, span.kind), _TIMES.pack(_STARTED, span.started, _ENDED, span.ended))
    parts += [_attribute(key, value) for key, value in span.attributes.items()]
    code = span.error_code
    parts += (
        _UNSET if code is None else field(_STATUS, field(2, code.encode()) + _IS_ERROR),
        _FLAGS_OF_ROOT if span.parent_id is None else _FLAGS_OF_CHILD,
    )
    return field(2, b"".join(parts))


def encode_request(resource: bytes, scope: bytes, spans: Iterable[bytes]) -> bytes:
    """Return an `ExportTraceServiceRequest` of spans that have one resource and one scope.

    Args:
        resource: a `ResourceSpans` with everything but its spans.
        scope: a `ScopeSpans` with everything but its spans.
        spans: as `encode_span` returns them.
    """
    return field(1, resource + field(2, b"".join((scope, *spans))))
