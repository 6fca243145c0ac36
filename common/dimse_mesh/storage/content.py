"""What an object is: transfer syntax, and digest of the data set, whatever stands in its File Meta Information."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import NamedTuple

from dimse_mesh.storage.file_meta import LONGEST_META, parse_head


class Content(NamedTuple):
    """Two objects are the same if these are equal."""

    transfer_syntax: str
    digest: bytes


async def content_of(pieces: AsyncIterator[bytes]) -> Content | None:
    """Read a stored file; None: it is no DICOM file with a transfer syntax."""
    digest = hashlib.sha256()
    start = b""
    head = None
    async for piece in pieces:
        if head is not None:
            digest.update(piece)
            continue
        start += piece
        head = parse_head(start)
        if head is not None:
            digest.update(start[head.size :])
        elif len(start) > LONGEST_META:
            return None
    return None if head is None else Content(head.transfer_syntax, digest.digest())
