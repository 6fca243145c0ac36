"""The segments of an association, each built once: what is published now is published again if it gets lost.

Pure functions of their arguments. `identity` says who the two ends are, `position` where the segment stands in its
direction, `acknowledged` what we have consumed of the other one, `seal` encrypts if the association is encrypted.
"""

from __future__ import annotations

from collections.abc import Sequence

from dimse_mesh.encryption import SealSegment
from dimse_mesh.endpoint.identity import AssociationIdentity
from dimse_mesh.mesh import last_long, pack
from dimse_mesh.schemas.frames import (
    LAST,
    WHOLE,
    Closing,
    FrameKind,
    PdusHead,
    encode_frame,
    encode_head,
    encode_message_payload,
    encode_pdus_head,
    encode_u64,
)
from dimse_mesh.schemas.operation import OperationRequest
from dimse_mesh.streams.outbound import Lane, Segment


def request_head(identity: AssociationIdentity) -> bytes:
    """Return what stands before the frame of every request that goes through a handler."""
    assert identity.remote is not None
    return pack(
        OperationRequest(
            association=identity.association,
            source=identity.local.instance.tokens,
            source_channel=identity.local.channel,
            sink=identity.remote.instance.tokens,
            calling_ae=identity.calling_ae,
            called_ae=identity.called_ae,
            from_client=identity.from_client,
        )
    )


def message(
    identity: AssociationIdentity,
    position: int,
    acknowledged: int,
    *,
    context_id: int,
    command: bytes,
    data: bytes,
    whole: bool,
    through: tuple[str, bytes] | None = None,
    seal: SealSegment | None = None,
) -> Segment:
    """Return a command set, with its data set if that is `whole`.

    Args:
        through: subject of the handlers that it goes to, and the `request_head`; None: straight to the other endpoint.
    """
    assert identity.remote is not None
    flags = WHOLE if whole else 0
    if seal is not None:
        data = seal(
            FrameKind.MESSAGE, position, flags=flags, context_id=context_id, clear=command, secret=data
        )
    frame = encode_frame(
        identity.remote.channel,
        FrameKind.MESSAGE,
        encode_message_payload(command, data),
        position=position,
        acknowledged=acknowledged,
        flags=flags,
        context_id=context_id,
    )
    length = len(command) + len(data)
    if through is None:
        return Segment(position, length, Lane.CONTROL, frame)
    subject, head = through
    return Segment(position, length, Lane.HANDLER, head + frame, subject, identity.local.channel)


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
