"""The segments of an association, each built once: what is published now is published again if it gets lost.

Pure functions of their arguments. `identity` says who the two ends are, `position` where the segment stands in its
direction, `acknowledged` what we have consumed of the other one, `seal` encrypts if the association is encrypted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dimse_mesh.encryption import SealSegment
from dimse_mesh.endpoint.identity import AssociationIdentity
from dimse_mesh.mesh import last_long, pack
from dimse_mesh.schemas.frames import (
    LAST,
    MESSAGE_HEAD_LENGTH,
    WHOLE,
    Closing,
    FrameKind,
    PdusHead,
    encode_frame,
    encode_head,
    encode_pdus_head,
    encode_u64,
    message_payload,
)
from dimse_mesh.schemas.operation import OperationRequest
from dimse_mesh.streams.outbound import Lane, Segment


class RequestOrigin(NamedTuple):
    """Whose the requests of one half are: the same for all that go through a handler."""

    request: OperationRequest
    head: bytes
    """The same, encoded: what stands before the frame of a request."""


class WayThrough(NamedTuple):
    """The way of a request through a handler."""

    subject: str
    """Of the handlers."""
    origin: RequestOrigin


def request_origin(identity: AssociationIdentity) -> RequestOrigin:
    """Return whose the requests of a half are."""
    assert identity.remote is not None
    request = OperationRequest(
        association=identity.association,
        source=identity.local.instance.tokens,
        source_channel=identity.local.channel,
        sink=identity.remote.instance.tokens,
        calling_ae=identity.calling_ae,
        called_ae=identity.called_ae,
        from_client=identity.from_client,
    )
    return RequestOrigin(request, pack(request))


def message(
    identity: AssociationIdentity,
    position: int,
    acknowledged: int,
    *,
    context_id: int,
    command: bytes,
    data: Sequence[bytes | memoryview],
    whole: bool,
    through: WayThrough | None = None,
    seal: SealSegment | None = None,
) -> Segment:
    """Return a command set, with its data set if that is `whole`.

    Args:
        through: a handler; None: straight to the other endpoint.
    """
    assert identity.remote is not None
    flags = WHOLE if whole else 0
    if seal is not None:
        secret = b"".join(data)
        data = (
            seal(
                FrameKind.MESSAGE, position, flags=flags, context_id=context_id, clear=command, secret=secret
            ),
        )
    length = len(command) + sum(map(len, data))
    head = encode_head(
        identity.remote.channel,
        FrameKind.MESSAGE,
        MESSAGE_HEAD_LENGTH + length,
        position=position,
        acknowledged=acknowledged,
        flags=flags,
        context_id=context_id,
    )
    frame = (head, *message_payload(command, *data))
    if through is None:
        return Segment(position, length, Lane.CONTROL, b"".join(frame))
    payload = b"".join((through.origin.head, *frame))
    return Segment(position, length, Lane.HANDLER, payload, through.subject, identity.local.channel)


def chunk(
    identity: AssociationIdentity,
    position: int,
    acknowledged: int,
    *,
    context_id: int,
    parts: Sequence[bytes | memoryview],
    last: bool,
    seal: SealSegment | None = None,
) -> Segment:
    """Return a piece of a data set, without a copy if it lasts. An empty last one still has a place of its own."""
    assert identity.remote is not None
    flags = LAST if last else 0
    if seal is not None:
        secret = b"".join(parts)
        parts = (seal(FrameKind.DATA, position, flags=flags, context_id=context_id, secret=secret),)
    size = sum(map(len, parts))
    head = encode_head(
        identity.remote.channel,
        FrameKind.DATA,
        size,
        position=position,
        flags=flags,
        context_id=context_id,
        acknowledged=acknowledged,
    )
    if last_long(parts, size):
        return Segment(position, size, Lane.BULK, head, data=tuple(parts))
    return Segment(position, size or 1, Lane.BULK, b"".join((head, *parts)))


def run(
    identity: AssociationIdentity,
    position: int,
    acknowledged: int,
    *,
    head: PdusHead,
    pdus: bytes | memoryview,
    seal: SealSegment | None = None,
) -> Segment:
    """Return pending responses, as the PDUs that they came in."""
    assert identity.remote is not None
    encoded_head = encode_pdus_head(head)
    if seal is not None:
        pdus = seal(FrameKind.PDUS, position, clear=encoded_head, secret=pdus)
    frame = encode_frame(
        identity.remote.channel,
        FrameKind.PDUS,
        encoded_head,
        pdus,
        position=position,
        acknowledged=acknowledged,
    )
    return Segment(position, len(pdus), Lane.BULK, frame)


def release(
    identity: AssociationIdentity,
    position: int,
    acknowledged: int,
    *,
    kind: FrameKind,
    seal: SealSegment | None = None,
) -> Segment:
    """Return an A-RELEASE-RQ or -RP."""
    assert identity.remote is not None
    payload = _with_tag(b"", kind, position, seal)
    frame = encode_frame(identity.remote.channel, kind, payload, position=position, acknowledged=acknowledged)
    return Segment(position, len(payload) or 1, Lane.CONTROL, frame)


def close(
    identity: AssociationIdentity,
    position: int,
    acknowledged: int,
    *,
    how: Closing,
    seal: SealSegment | None = None,
) -> Segment:
    """Return the end of our peer's connection."""
    assert identity.remote is not None
    payload = _with_tag(bytes((how,)), FrameKind.CLOSE, position, seal)
    frame = encode_frame(
        identity.remote.channel, FrameKind.CLOSE, payload, position=position, acknowledged=acknowledged
    )
    return Segment(position, len(payload), Lane.CONTROL, frame, awaited=False)


def cancel(
    identity: AssociationIdentity,
    position: int,
    acknowledged: int,
    *,
    length: int,
    seal: SealSegment | None = None,
) -> Segment:
    """Return what stands in the place of segments that will never be sent (again)."""
    assert identity.remote is not None
    frame = encode_frame(
        identity.remote.channel,
        FrameKind.CANCEL,
        _with_tag(encode_u64(length), FrameKind.CANCEL, position, seal),
        position=position,
        acknowledged=acknowledged,
    )
    return Segment(position, length, Lane.CONTROL, frame, awaited=False)


def cancelled(
    identity: AssociationIdentity,
    position: int,
    acknowledged: int,
    *,
    cancel_at: int,
    seal: SealSegment | None = None,
) -> Segment:
    """Return the answer to a CANCEL that came in time."""
    assert identity.remote is not None
    payload = _with_tag(encode_u64(cancel_at), FrameKind.CANCELLED, position, seal)
    frame = encode_frame(
        identity.remote.channel, FrameKind.CANCELLED, payload, position=position, acknowledged=acknowledged
    )
    return Segment(position, len(payload), Lane.CONTROL, frame)


def _with_tag(payload: bytes, kind: FrameKind, position: int, seal: SealSegment | None) -> bytes:
    """Return a payload that is not secret, with the tag that authenticates it if the association is encrypted."""
    return payload if seal is None else payload + seal(kind, position, clear=payload)
