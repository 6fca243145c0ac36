"""Messages cut into PDVs and PDUs in every way that the receiver's maximum length allows."""

from __future__ import annotations

from random import Random

from tests.support.wire import Message, PduType, fragments, pdu

LONGEST = 131072
"""The mesh's own maximum length: what it takes from a peer."""


def cut(rng: Random, message: Message, max_length: int) -> bytes:
    """Return the P-DATA-TF PDUs of `message`, none longer than `max_length` (0: any)."""
    limit = min(max_length or LONGEST, LONGEST)
    total = len(message.command) + len(message.data or b"")
    match rng.randrange(4):
        case 0 if limit > 64:  # fragments of all lengths; few, of a long message
            smallest = max(1, total // 300)
            sizes = [min(limit - 6, rng.choice((smallest, smallest * 3, limit - 6))) for _ in range(5)]
            if rng.random() < 0.3:
                sizes.append(0)
        case 1:
            sizes = [min(limit - 6, 16378)]
        case _:
            sizes = [limit - 6]
    packed, pdus = b"", []
    together = rng.random() < 0.4
    for value in fragments(message, sizes):
        if packed and (not together or len(packed) + len(value) > limit):
            pdus.append(pdu(PduType.P_DATA_TF, packed))
            packed = b""
        packed += value
    return b"".join((*pdus, pdu(PduType.P_DATA_TF, packed)))
