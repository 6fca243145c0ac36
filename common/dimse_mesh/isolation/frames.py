"""What goes through the pipes of an isolated process: a head as JSON, and parts as bytes.

4 bytes  length of the head, big-endian
head     {"head": ..., "parts": [length of each part]}
parts    one behind the other
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any

LENGTH = Struct(">I")
MOST_HEAD = 16 << 20
"""Bytes of a head."""
Head = dict[str, Any]


class NotAnAnswer(Exception):
    """Bytes that are no head."""


def encode_head(head: Mapping[str, Any], parts: Sequence[bytes | memoryview]) -> bytes:
    """Return what goes before the parts."""
    text = json.dumps({"head": head, "parts": [len(part) for part in parts]}).encode()
    return LENGTH.pack(len(text)) + text


def decode_head(text: bytes) -> tuple[Head, list[int]]:
    """Return a head, and the lengths of the parts that follow it.

    Raises:
        NotAnAnswer: it is none. What a process sends that a damaged object has taken over may be anything.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise NotAnAnswer("no JSON") from None
    head, parts = (message.get("head"), message.get("parts")) if isinstance(message, dict) else (None, None)
    if not isinstance(head, dict) or not isinstance(parts, list):
        raise NotAnAnswer("no head with the lengths of its parts")
    if not all(type(length) is int and length >= 0 for length in parts):
        raise NotAnAnswer("a length of a part that is no length")
    return head, parts
