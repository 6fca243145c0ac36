"""Statuses of DIMSE responses that tests answer with or expect (PS3.7 annex C, PS3.4)."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """Status (0000,0900)."""

    SUCCESS = 0x0000
    DUPLICATE = 0x0111
    NOT_AUTHORIZED = 0x0124
    OUT_OF_RESOURCES = 0xA700
    CANCELLED = 0xFE00
    PENDING = 0xFF00
