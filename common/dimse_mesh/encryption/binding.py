"""What handshakes are bound to, and how their messages stand in JSON."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable

from dimse_mesh.encryption.errors import EncryptionError


def bound(parts: Iterable[str | bytes]) -> bytes:
    """Return a digest of parts, each with its length, so that no two lists of parts have the same."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)
    return digest.digest()


def decode_message(text: str) -> bytes:
    """Return a handshake message.

    Raises:
        EncryptionError: it isn't base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EncryptionError("encryption-broken") from error
