"""A message of the mesh: a JSON head of a known type, then raw bytes that are never encoded.

0         1        4              4 + n
+---------+--------+--------------+-----------
| version | n (BE) | head (JSON)  | tail ...
+---------+--------+--------------+-----------
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from dimse_mesh.mesh.errors import EnvelopeError, ForeignVersion
from dimse_mesh.schemas.version import VERSION, ProtocolVersion

ModelT = TypeVar("ModelT", bound=BaseModel)

MAX_HEAD = 256 * 1024
"""Bytes of a head. Larger ones are refused before they are parsed."""

_KNOWN = 4096
"""Heads that `unpack_known` remembers, each as text and as model: usual ones take 7 MiB in all, the longest 14."""
_LONGEST_KNOWN = 2048
"""Bytes of a message to the end of its head, at most, where `unpack_known` reads it: twice what the longest need."""
_LENGTH = struct.Struct(">I")
_VERSION = VERSION.octet


def pack(head: BaseModel, tail: bytes | memoryview = b"") -> bytes:
    """Return `head` and `tail` as one payload."""
    text = head.__pydantic_serializer__.to_json(head)
    return b"".join((_LENGTH.pack(_VERSION << 24 | len(text)), text, tail))


def unpack(model: type[ModelT], payload: bytes) -> tuple[ModelT, memoryview]:
    """Return the head, validated as `model`, and a view of the tail.

    Raises:
        ForeignVersion: another major version made it.
        EnvelopeError: truncated, a head over `MAX_HEAD`, or not a `model`. Carries no content of the payload.
    """
    end = _end_of_head(payload)
    return _validated(model, payload[_LENGTH.size : end]), memoryview(payload)[end:]


def unpack_known(model: type[ModelT], payload: bytes) -> tuple[ModelT, memoryview]:
    """Do the same for messages that often have the same head, a short one: what was read lately is not read again.

    Raises:
        ForeignVersion: as `unpack`.
        EnvelopeError: as `unpack`, and for a head that ends behind `_LONGEST_KNOWN`: nobody can have us remember much.
    """
    end = _end_of_head(payload)
    if end > _LONGEST_KNOWN:
        raise EnvelopeError("the envelope's head is longer than any of its kind")
    head = _validated_lately(model, payload[_LENGTH.size : end])
    assert isinstance(head, model)
    return head, memoryview(payload)[end:]


def _end_of_head(payload: bytes) -> int:
    if len(payload) < _LENGTH.size:
        raise EnvelopeError("the envelope is shorter than its length field")
    (word,) = _LENGTH.unpack_from(payload)
    version, length = word >> 24, word & 0xFF_FFFF
    if version >> 4 != VERSION.major:
        raise ForeignVersion(ProtocolVersion.of(version))
    end = _LENGTH.size + int(length)
    if length > MAX_HEAD or end > len(payload):
        raise EnvelopeError("the envelope's head is longer than allowed or than the payload")
    return end


def _validated(model: type[ModelT], text: bytes) -> ModelT:
    try:
        head: ModelT = model.__pydantic_validator__.validate_json(text)
    except ValidationError:
        # Without `from`: pydantic's text repeats the input, which may be patient data.
        raise EnvelopeError(f"the envelope's head is not a {model.__name__}") from None
    return head


@lru_cache(maxsize=_KNOWN)
def _validated_lately(model: type[BaseModel], text: bytes) -> BaseModel:
    return _validated(model, text)
