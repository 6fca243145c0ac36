"""Seal and open the segments of an association's two directions, each with a key of its own.

The nonce is the segment's position in its direction, so no two segments have the same one, and a segment opens only in
its place: what is moved, repeated, taken from another association or changed doesn't. A CANCEL stands in the place of
a segment that was sealed before: its nonce has the highest bit set.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dimse_mesh.encryption.errors import EncryptionError
from dimse_mesh.encryption.noise import TransportKeys, nonce
from dimse_mesh.encryption.protection import Protection
from dimse_mesh.schemas.frames import FrameKind

_HEAD: Final = Struct(">BBB")
_CANCEL_BIT: Final = 1 << 63


def _nonce(kind: int, position: int) -> bytes:
    return nonce(position | _CANCEL_BIT if kind == FrameKind.CANCEL else position)


class SegmentSealer:
    """Seals one direction's segments."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def __call__(
        self,
        kind: int,
        position: int,
        *,
        flags: int = 0,
        context_id: int = 0,
        clear: bytes | memoryview = b"",
        secret: bytes | memoryview = b"",
    ) -> bytes:
        """Return `secret`, encrypted, and the tag over everything."""
        authenticated = b"".join((_HEAD.pack(kind, flags, context_id), clear))
        return self._cipher.encrypt(_nonce(kind, position), secret, authenticated)


class SegmentOpener:
    """Opens one direction's segments."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def __call__(
        self,
        kind: int,
        position: int,
        *,
        flags: int = 0,
        context_id: int = 0,
        clear: bytes | memoryview = b"",
        sealed: bytes | memoryview = b"",
    ) -> bytes:
        """Return what was sealed.

        Raises:
            EncryptionError: this was not sealed for this place.
        """
        authenticated = b"".join((_HEAD.pack(kind, flags, context_id), clear))
        try:
            return self._cipher.decrypt(_nonce(kind, position), sealed, authenticated)
        except InvalidTag as error:
            raise EncryptionError("encryption-broken") from error


def protection(keys: TransportKeys, *, at_initiator: bool) -> Protection:
    """Return what protects an association.

    Args:
        at_initiator: at the front-end; else at the executor.
    """
    outgoing, incoming = keys if at_initiator else (keys.from_responder, keys.from_initiator)
    return Protection(SegmentSealer(outgoing), SegmentOpener(incoming))
