"""The requests for storage commitment that a source zone has answered and not reported on yet."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

from dimse_mesh.mesh import EnvelopeError, JetStream, StoredMessage, pack, remove_message, unpack
from dimse_mesh.schemas.commitment import CommitmentRequest
from dimse_mesh.schemas.spool_subjects import commitment_request, commitment_stream

BATCH = 64
BATCH_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class PendingCommitment:
    """A request as it stands in the stream.

    Attributes:
        information: its data set, as the requestor sent it.
    """

    sequence: int
    request: CommitmentRequest
    information: bytes


class CommitmentStore:
    """The requests of one source zone. Every method raises `MeshError` when they can't be reached."""

    def __init__(self, jetstream: JetStream, root: str, zone: str) -> None:
        self._jetstream = jetstream
        self._root = root
        self._zone = zone
        self._stream = commitment_stream(root, zone)

    async def put(
        self, request: CommitmentRequest, information: bytes, *, replaces: int | None = None
    ) -> int:
        """Keep a request, in place of an older state of the same; return its sequence number.

        Args:
            replaces: the sequence number of that state; None: whatever is there.

        Raises:
            WrongLastSequence: another state has replaced that one.
        """
        return await self._jetstream.publish(
            commitment_request(self._root, self._zone, request.request_id),
            pack(request),
            information,
            message_id=uuid.uuid4().hex,
            replaces=replaces,
        )

    async def remove(self, pending: PendingCommitment) -> None:
        """Forget a request: it is reported, or given up."""
        subject = commitment_request(self._root, self._zone, pending.request.request_id)
        await remove_message(
            self._jetstream, self._stream, pending.sequence, is_it=lambda found: found.subject == subject
        )

    async def since(self, sequence: int) -> AsyncIterator[PendingCommitment]:
        """Yield the requests that have come or changed since, the oldest first."""
        first = sequence + 1
        while True:
            batch = await self._jetstream.read(
                self._stream,
                commitment_request(self._root, self._zone),
                first=first,
                count=BATCH,
                max_bytes=BATCH_BYTES,
            )
            for message in batch.messages:
                found = _parse(message)
                if found is not None:
                    yield found
            if not batch.messages or not batch.pending:
                return
            first = batch.messages[-1].sequence + 1


def _parse(message: StoredMessage) -> PendingCommitment | None:
    try:
        request, information = unpack(CommitmentRequest, message.payload)
    except EnvelopeError:  # another major version's: one that understands it will report
        return None
    return PendingCommitment(message.sequence, request, bytes(information))
