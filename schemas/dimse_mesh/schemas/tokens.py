"""Any text as one token of a NATS subject, and back; and ids that are the same for the same texts."""

from __future__ import annotations

import hashlib

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def encode_token(text: str) -> str:
    """Encode any text as one subject token, reversibly; unreserved characters stay readable.

    Everything outside ``A-Z a-z 0-9 - _`` becomes ``%XX`` for each of its UTF-8 bytes; the empty
    text becomes a lone ``%``.
    """
    if not text:
        return "%"
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in text.encode())


def id_of(*texts: str) -> str:
    """Return an id, 32 hexadecimal digits: the same each time for the same texts, which can't be read from it."""
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=16).hexdigest()


def decode_token(token: str) -> str:
    """Return the text that `encode_token` made `token` from.

    Raises:
        ValueError: `token` is not the encoding of any text.
    """
    if token == "%":
        return ""
    head, *rest = token.split("%")
    data = bytearray(head.encode())
    for part in rest:
        data.append(int(part[:2], 16))
        data += part[2:].encode()
    text = data.decode()
    if encode_token(text) != token:
        raise ValueError(f"not an encoded subject token: {token!r}")
    return text
