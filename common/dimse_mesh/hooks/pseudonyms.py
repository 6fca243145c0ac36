"""Keyed hashes: the same value always becomes the same pseudonym, over objects, restarts and years, and nobody without
the key can find the value, not even by trying all of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import stat
import uuid
from pathlib import Path

from dimse_mesh.hooks.errors import HookRefusal

LEAST_KEY = 32
"""Bytes of a key."""
STANDARD_UIDS = "1.2.840.10008."
"""The root of the UIDs that the standard itself registers: they name no patient, and must stay."""
_DAYS = 3650
_UUID_VERSION = 8 << 76
_UUID_VARIANT = 2 << 62


class Pseudonyms:
    """What is derived from one key.

    Raises:
        HookRefusal: the key file isn't there, is too short, or others than its owner can read it.
    """

    def __init__(self, key_file: Path) -> None:
        self._key = _read_key(key_file)

    def uid(self, uid: str) -> str:
        """Return a UID in the place of another one: a UUID of version 8 below 2.25 (PS3.5 §B.2, RFC 9562 §5.8)."""
        plain = uid.strip("\0 ")
        if not plain or plain.startswith(STANDARD_UIDS):
            return plain
        number = int.from_bytes(self._digest("uid", plain)[:16], "big")
        number = number & ~(0xF << 76) & ~(3 << 62) | _UUID_VERSION | _UUID_VARIANT
        return f"2.25.{uuid.UUID(int=number).int}"

    def text(self, value: str, length: int = 16) -> str:
        """Return `length` characters, A to Z and 2 to 7, in the place of a value."""
        return base64.b32encode(self._digest("text", value.strip("\0 "))).decode()[:length]

    def days(self, patient: str) -> int:
        """Return by how many days the dates of a patient go back: 1 to 3650."""
        return 1 + int.from_bytes(self._digest("days", patient.strip("\0 "))[:8], "big") % _DAYS

    def _digest(self, purpose: str, value: str) -> bytes:
        return hmac.new(self._key, f"{purpose}\0{value}".encode(), hashlib.sha256).digest()


def _read_key(key_file: Path) -> bytes:
    try:
        mode = key_file.stat().st_mode
        key = key_file.read_bytes()
    except OSError as error:
        raise HookRefusal(f"key_file {key_file} can't be read: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise HookRefusal(f"key_file {key_file} can be read by others than its owner: chmod 600")
    if len(key) < LEAST_KEY:
        raise HookRefusal(f"key_file {key_file} has {len(key)} bytes, a key has at least {LEAST_KEY}")
    return key
