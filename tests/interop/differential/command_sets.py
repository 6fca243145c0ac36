"""Command sets as no toolkit should write them, and as peers do: a wire carries every one."""

from __future__ import annotations

import struct
from dataclasses import replace
from random import Random

from tests.support.wire import Message, Tag

UNKNOWN = (0x0001, 0x0010, 0x0200, 0x0901, 0x0903, 0x4010, 0x5110, 0x51B0, 0x7777, 0xFFFF)
UNREAD = (Tag.PRIORITY, Tag.ERROR_COMMENT, Tag.EVENT_TYPE, Tag.ACTION_TYPE, Tag.COMPLETED, Tag.FAILED)
"""Known elements that nobody on the way needs."""


def element(tag: int, value: bytes, group: int = 0) -> bytes:
    """Return an element in implicit VR little endian."""
    return struct.pack("<HHI", group, tag, len(value)) + value


def _elements(command: bytes) -> list[bytes]:
    found, offset = [], 0
    while offset + 8 <= len(command):
        end = offset + 8 + int.from_bytes(command[offset + 4 : offset + 8], "little")
        found.append(command[offset:end])
        offset = end
    return found


def _stray(rng: Random) -> bytes:
    value = rng.randbytes(rng.randrange(12))
    match rng.randrange(4):
        case 0:
            return element(rng.choice(UNREAD), value)
        case 1:
            return element(rng.randrange(0x10000), value, rng.choice((0x0002, 0x0008, 0x0009, 0x0010)))
        case 2:
            return element(Tag.GROUP_LENGTH, value[:8])
        case _:
            return element(rng.choice(UNKNOWN), value)


def odd(rng: Random, message: Message) -> Message:
    """Return the message with a command set that says the same to who routes it, and is not as the standard says."""
    elements = _elements(message.command)
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        elements.insert(rng.randrange(len(elements) + 1), _stray(rng))
    match rng.randrange(8):
        case 0:
            elements.pop(0)  # most often the group length
        case 1:
            rng.shuffle(elements)
        case 2:
            elements.append(rng.choice(elements))
        case 3:
            elements.append(rng.randbytes(rng.randrange(8)))
        case 4:
            elements.append(element(0x7777, rng.randbytes(rng.choice((3000, 20_000, 60_000)))))
    return replace(message, command=b"".join(elements))
