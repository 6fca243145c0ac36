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
Head = dict[str, Any]


def encode_head(head: Mapping[str, Any], parts: Sequence[bytes | memoryview]) -> bytes:
    """Return what goes before the parts."""
    text = json.dumps({"head": head, "parts": [len(part) for part in parts]}).encode()
    return LENGTH.pack(len(text)) + text


def decode_head(text: bytes) -> tuple[Head, list[int]]:
    """Return a head, and the lengths of the parts that follow it."""
    message = json.loads(text)
    return message["head"], message["parts"]
