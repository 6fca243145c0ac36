"""Send a file by C-STORE, its data set as it stands there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import anyio

from dimse_mesh.app.dicom_file import DicomFile
from dimse_mesh.client import AssociationError, DicomClient
from dimse_mesh.dimse import store_request

PIECE = 256 * 1024
"""Bytes of a file read at once."""


async def store_file(
    client: DicomClient, file: DicomFile, progress: Callable[[int], None] | None = None
) -> int:
    """Store a file (PS3.7 §9.1.1); return the status.

    Raises:
        AssociationError: there is no answer, or no context for it.
        OSError: the file can't be read, or has become shorter; the association can't go on.
    """
    context_id = client.accepted.get((file.sop_class, file.transfer_syntax))
    if context_id is None:
        raise AssociationError("the target accepts no presentation context for it")
    request = store_request(
        client.next_message_id(), sop_class=file.sop_class, sop_instance=file.sop_instance
    )
    status = (await client.store(context_id, request, pieces(file, progress))).status
    if status is None:
        raise AssociationError("the target answers without a status")
    return status


async def pieces(file: DicomFile, progress: Callable[[int], None] | None) -> AsyncIterator[bytes]:
    """Read a file's data set piece by piece, padded as it must be sent.

    Raises:
        OSError: the file can't be read, or has become shorter.
    """
    left = file.size
    async with await anyio.open_file(file.path, "rb") as source:
        await source.seek(file.offset)
        while left:
            piece = await source.read(min(PIECE, left))
            if not piece:
                raise OSError("the file became shorter while it was sent")
            left -= len(piece)
            yield piece if left else piece + file.padding
            if progress is not None:
                progress(len(piece))
