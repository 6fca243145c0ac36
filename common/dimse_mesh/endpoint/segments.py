"""The segments of an association, each built once: what is published now is published again if it gets lost.

Pure functions of their arguments. `identity` says who the two ends are, `position` where the segment stands in its
direction, `acknowledged` what we have consumed of the other one.
"""

from __future__ import annotations

from collections.abc import Sequence

from dimse_mesh.endpoint.identity import AssociationIdentity
from dimse_mesh.mesh import pack
from dimse_mesh.schemas.frames import (
    LAST,
    WHOLE,
    Closing,
    FrameKind,
    PdusHead,
    encode_frame,
    encode_pdus_head,
    encode_u32,
    encode_u64,
)
from dimse_mesh.schemas.operation import OperationRequest
from dimse_mesh.streams.outbound import Lane, Segment


def message(
    identity: AssociationIdentity,
    position: int,
    acknowledged: int,
    *,
    context_id: int,
    command: bytes,
    data: bytes,
    whole: bool,
    traceparent: str | None,
    subject: str | None,
) -> Segment:
    """Return a command set, with its data set if that is `whole`.

    Args:
        subject: of the handlers through which it goes; None: straight to the other endpoint.
    """
    assert identity.remote is not None
    length = len(command) + len(data)
    if subject is None:
        frame = encode_frame(
            identity.remote.channel,
            FrameKind.MESSAGE,
            encode_u32(len(command)),
            command,
            data,
            position=position,
            acknowledged=acknowledged,
            flags=WHOLE if whole else 0,
            context_id=context_id,
        )
        return Segment(position, length, Lane.CONTROL, frame, traceparent=traceparent)
    request = OperationRequest(
        association=identity.association,
        position=position,
        length=length,
        source=identity.local.instance.tokens,
        source_channel=identity.local.channel,
        sink=identity.remote.instance.tokens,
        sink_channel=identity.remote.channel,
        context_id=context_id,
        command_length=len(command),
        whole=whole,
        acknowledged=acknowledged,
        calling_ae=identity.calling_ae,
        called_ae=identity.called_ae,
        from_client=identity.from_client,
    )
    payload = pack(request, b"".join((command, data)))
    return Segment(
        position, length, Lane.HANDLER, payload, subject, identity.local.channel, traceparent=traceparent
    )


def chunk(
    identity: AssociationIdentity,
    position: int,
    acknowledged: int,
    *,
    context_id: int,
    parts: Sequence[bytes | memoryview],
    last: bool,
) -> Segment:
    """Return a piece of a data set. An empty last one still has a place of its own in the order."""
    assert identity.remote is not None
    frame = encode_frame(
        identity.remote.channel,
        FrameKind.DATA,
        *parts,
        position=position,
        flags=LAST if last else 0,
        context_id=context_id,
        acknowledged=acknowledged,
    )
    return Segment(position, sum(map(len, parts)) or 1, Lane.BULK, frame)


def run(
    identity: AssociationIdentity, position: int, acknowledged: int, *, head: PdusHead, pdus: memoryview
) -> Segment:
    """Return pending responses, as the PDUs that they came in."""
    assert identity.remote is not None
    frame = encode_frame(
        identity.remote.channel,
        FrameKind.PDUS,
        encode_pdus_head(head),
        pdus,
        position=position,
        acknowledged=acknowledged,
    )
    return Segment(position, len(pdus), Lane.BULK, frame)


def release(identity: AssociationIdentity, position: int, acknowledged: int, *, kind: FrameKind) -> Segment:
    """Return an A-RELEASE-RQ or -RP."""
    assert identity.remote is not None
    frame = encode_frame(identity.remote.channel, kind, position=position, acknowledged=acknowledged)
    return Segment(position, 1, Lane.CONTROL, frame)


def close(identity: AssociationIdentity, position: int, acknowledged: int, *, how: Closing) -> Segment:
    """Return the end of our peer's connection."""
    assert identity.remote is not None
    frame = encode_frame(
        identity.remote.channel, FrameKind.CLOSE, bytes((how,)), position=position, acknowledged=acknowledged
    )
    return Segment(position, 1, Lane.CONTROL, frame, awaited=False)


def cancel(identity: AssociationIdentity, position: int, acknowledged: int, *, length: int) -> Segment:
    """Return what stands in the place of segments that will never be sent (again)."""
    assert identity.remote is not None
    frame = encode_frame(
        identity.remote.channel,
        FrameKind.CANCEL,
        encode_u64(length),
        position=position,
        acknowledged=acknowledged,
    )
    return Segment(position, length, Lane.CONTROL, frame, awaited=False)


def cancelled(identity: AssociationIdentity, position: int, acknowledged: int, *, cancel_at: int) -> Segment:
    """Return the answer to a CANCEL that came in time."""
    assert identity.remote is not None
    payload = encode_u64(cancel_at)
    frame = encode_frame(
        identity.remote.channel, FrameKind.CANCELLED, payload, position=position, acknowledged=acknowledged
    )
    return Segment(position, len(payload), Lane.CONTROL, frame)
