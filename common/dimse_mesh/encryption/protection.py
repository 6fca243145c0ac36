"""What an association half needs of the encryption: one function that seals what it sends, one that opens the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

TAG_LENGTH = 16
"""Bytes by which a sealed segment is longer."""

SEALED_DIGEST_PREFIX = b"dimse-mesh sealed object 1\0"
"""Goes before the pieces into the digest of a sealed object: who doesn't know of the encryption finds it damaged."""


class SealSegment(Protocol):
    """Seals the segments of the outgoing direction."""

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
        """Return `secret`, encrypted, with a tag that authenticates all arguments. One position is sealed once.

        Args:
            clear: what the segment holds beside it and is not encrypted.
        """


class OpenSegment(Protocol):
    """Opens the segments of the incoming direction."""

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
        """Return what was sealed with the same arguments.

        Raises:
            EncryptionError: it wasn't.
        """


@dataclass(frozen=True, slots=True)
class Protection:
    """Of an association: both directions, as one of its halves sees them."""

    seal: SealSegment
    open: OpenSegment
