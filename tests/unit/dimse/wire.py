"""Reads P-DATA-TF PDUs without the code under test, by the offsets of PS3.8 tables 9-22 and 9-23."""

from __future__ import annotations

from typing import NamedTuple


class Pdv(NamedTuple):
    context_id: int
    flags: int
    fragment: bytes


def pdus(data: bytes) -> list[bytes]:
    """Split `data` into the bodies of the P-DATA-TF PDUs that it consists of."""
    bodies = []
    while data:
        assert data[0] == 0x04
        assert data[1] == 0x00
        length = int.from_bytes(data[2:6], "big")
        assert len(data) >= 6 + length
        bodies.append(data[6 : 6 + length])
        data = data[6 + length :]
    return bodies


def pdvs(data: bytes) -> list[Pdv]:
    """Return every PDV of the PDUs in `data`; there must be exactly one in each."""
    found = []
    for body in pdus(data):
        assert int.from_bytes(body[:4], "big") == len(body) - 4
        found.append(Pdv(body[4], body[5], body[6:]))
    return found
