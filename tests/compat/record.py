"""Write `recorded/<version>.json`: a message of each model and a frame of each kind, as this version sends them.

    python -m tests.compat.record

Run it when a version of the protocol is released, and when a model or a kind of frame was added in it. What a released
version's file holds is never written anew: today's code must read what that version has sent.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from dimse_mesh.mesh import pack
from dimse_mesh.schemas.acknowledged import AcknowledgedObjects, ObjectName
from dimse_mesh.schemas.association import EncryptionOffer, OpenReply, OpenRequest, OpenResult
from dimse_mesh.schemas.callbacks import CallbackNotice
from dimse_mesh.schemas.commitment import (
    AnswerOutcome,
    CommitmentAnswer,
    CommitmentHeard,
    CommitmentHeardReply,
    CommitmentQuestion,
    CommitmentRequest,
    Fate,
    QueueProgress,
    Receipt,
    WaitedFor,
)
from dimse_mesh.schemas.events import (
    AssociationEnded,
    AssociationOpened,
    AssociationRejected,
    CommitmentReported,
    ObjectAccepted,
    ObjectSettled,
    ObjectStored,
    StudyQuiet,
)
from dimse_mesh.schemas.frames import (
    LAST,
    WHOLE,
    AckBody,
    FrameKind,
    PdusHead,
    encode_ack_body,
    encode_frame,
    encode_pdus_head,
    encode_u32,
    encode_u64,
    message_payload,
)
from dimse_mesh.schemas.operation import OperationRequest, Refusal
from dimse_mesh.schemas.service import Dead, Heartbeat, Obituary
from dimse_mesh.schemas.slots import SlotAnswer, SlotReply, SlotRequest
from dimse_mesh.schemas.spool import (
    DeadLetter,
    KnownContext,
    KnownContexts,
    Manifest,
    ObjectEncryptionHead,
    ObjectKey,
    QueuePause,
    QueueStatus,
    SpoolMade,
    SpoolRoom,
    StudyOrigin,
)
from dimse_mesh.schemas.spool_subjects import RoutePriority
from dimse_mesh.schemas.version import VERSION
from tests.support.wire import store_rq

FOLDER = Path(__file__).parent / "recorded"
TAIL = bytes(range(8))
MANIFEST = Manifest(
    object_id="0" * 32,
    sop_class="1.2.840.10008.5.1.4.1.1.2",
    sop_instance="1.2.3",
    transfer_syntax="1.2.840.10008.1.2.1",
    called_ae="ARCHIVE",
    calling_ae="CT1",
    study="0123456789abcdef",
    size=1000,
    digest="ab" * 32,
    chunks=1,
    command_length=6,
    received=1.5,
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    priority=RoutePriority.HIGH,
)
MODELS: tuple[BaseModel, ...] = (
    OpenRequest(
        association="0f" * 16,
        channel=0xFFFF_FFFF,
        called_ae="PACS 1",
        calling_ae="CT",
        delivery="live",
        window=8 << 20,
        deadline=30.5,
    ),
    OpenReply(result=OpenResult.ACCEPTED, channel=7, window=8 << 20, detail="none"),
    OpenReply(result=OpenResult.BUSY),
    MANIFEST.model_copy(
        update={
            "encryption": ObjectEncryptionHead(
                destinations=("ae ARCHIVE",),
                keys={"cl oud": ObjectKey(from_key="01" * 8, to_key="fe" * 8, message="AAECAwQFBgc=")},
            )
        }
    ),
    OpenRequest(
        association="0e" * 16,
        channel=5,
        called_ae="PACS 1",
        calling_ae="CT",
        delivery="live",
        window=8 << 20,
        deadline=30.5,
        encryption={
            "cl oud": EncryptionOffer(from_key="01" * 8, to_key="fe" * 8, message="AAECAwQFBgc="),
        },
    ),
    OpenReply(result=OpenResult.ACCEPTED, channel=7, window=8 << 20, encryption="CAkKCwwNDg8="),
    OperationRequest(
        association="0f" * 16,
        source="hospital.association.0123456789abcdef",
        source_channel=1,
        sink="cl%20oud.scu.fedcba9876543210",
        calling_ae="CT",
        called_ae="PACS",
        from_client=True,
    ),
    Refusal(association="0f" * 16, channel=1, position=1 << 40, code="not_authorized"),
    Heartbeat(
        server_id="NDABC",
        draining=True,
        associations={"PACS": 3},
        serves_zone=True,
        dead=(Dead(role="scu", instance="fedcba9876543210"),),
    ),
    Heartbeat(server_id=""),
    Obituary(dead=Dead(role="association", instance="0123456789abcdef")),
    CallbackNotice(
        target_title="PACS", client_title="CT", called_ae="A", calling_ae="B", message_id=7, destination="CT"
    ),
    SlotRequest(ae_title="PACS", holding=3, limit=4),
    *(SlotReply(answer=answer) for answer in SlotAnswer),
    MANIFEST,
    DeadLetter(
        manifest=MANIFEST, cause="rejected", detail="calling AE", status=0xA700, attempts=3, failed=2.5
    ),
    StudyOrigin(source="hospital", calling_ae="CT1", seen=1.5),
    AcknowledgedObjects(
        names=(
            ObjectName(
                sequence=1 << 40,
                object_id="0" * 32,
                sop_class="1.2.840.10008.5.1.4.1.1.2",
                sop_instance="1.2.3",
                transfer_syntax="1.2.840.10008.1.2.1",
                called_ae="ARCHIVE",
                calling_ae="CT1",
                study="0123456789abcdef",
                study_instance_uid="1.2",
                size=1000,
                received=1.5,
                priority=RoutePriority.HIGH,
                receipt=True,
                receipt_for=("1.2", "2.25.1"),
            ),
        ),
        written=1.5,
        receipts_kept=600.0,
    ),
    SpoolMade(nats_server="2.15.0", when=1.5),
    SpoolRoom(refusing="full", since=1.5),
    KnownContexts(
        contexts=(KnownContext(sop_class="1.2", transfer_syntax="1.3", accepted=False, result=4),), asked=3.5
    ),
    QueueStatus(
        sentence="waits", cause="unreachable", since=1.0, next_attempt=2.0, instance="cloud.delivery.x"
    ),
    QueuePause(paused=True, reason="night", until=4.0),
    *(
        Receipt(
            sop_class="1.2",
            sop_instance="1.2.3",
            fate=fate,
            cause="rejected",
            redirected_to="OTHER",
            stored_as=("1.2", "1.2.4"),
            at=5.0,
        )
        for fate in Fate
    ),
    QueueProgress(settled=1 << 40),
    CommitmentRequest(
        request_id="0f" * 16,
        transfer_syntax="1.2.840.10008.1.2",
        called_ae="ARCHIVE",
        calling_ae="CT1",
        destinations=(WaitedFor(destination="ARCHIVE", horizon=7, confirms=True),),
        instances=3,
        received=1.5,
        owner="hospital.association.0123456789abcdef",
        attempts=2,
        first_attempt=2.5,
        next_attempt=3.5,
        trouble="nobody there",
        secret="1e" * 16,
        awaits="ARCHIVE: it was asked",
    ),
    CommitmentQuestion(question_id="0f" * 16, asked=1.5),
    *(
        CommitmentAnswer(question_id="0f" * 16, outcome=outcome, detail="aborted", at=2.5)
        for outcome in AnswerOutcome
    ),
    CommitmentHeard(heard_id="0f" * 16, transfer_syntax="1.2.840.10008.1.2"),
    CommitmentHeardReply(heard_id="0f" * 16, status=0x0110),
    AssociationOpened(
        id="0e" * 16, at=1.5, association="0f" * 16, calling_ae="CT1", called_ae="PACS", delivery="live"
    ),
    AssociationEnded(
        id="0e" * 16,
        at=2.5,
        association="0f" * 16,
        calling_ae="CT1",
        called_ae="PACS",
        delivery="durable",
        code="released",
        seconds=1.0,
    ),
    AssociationRejected(
        id="0e" * 16,
        at=1.5,
        calling_ae="CT1",
        called_ae="PACS",
        code="admission",
        result=1,
        source=1,
        reason=3,
    ),
    ObjectStored(
        id="0e" * 16,
        at=1.5,
        ae="PACS",
        calling_ae="CT1",
        called_ae="PACS",
        from_zone="hospital",
        association="0f" * 16,
        sop_class="1.2.840.10008.5.1.4.1.1.2",
        sop_instance="1.2.3",
        study="1.2",
        status=0,
        delivery="live",
    ),
    ObjectAccepted(
        id="0e" * 16,
        at=1.5,
        association="0f" * 16,
        calling_ae="CT1",
        called_ae="PACS",
        destinations=("PACS", "zone:cloud"),
        sop_class="1.2.840.10008.5.1.4.1.1.2",
        sop_instance="1.2.3",
        study="1.2",
    ),
    ObjectSettled(
        id="0e" * 16,
        at=1.5,
        destination="hooks:zone:cloud",
        calling_ae="CT1",
        called_ae="PACS",
        sop_class="1.2.840.10008.5.1.4.1.1.2",
        sop_instance="1.2.3",
        study="",
        cause="delivered",
    ),
    StudyQuiet(
        id="0e" * 16,
        at=40.5,
        after="object_stored",
        ae="PACS",
        study="1.2",
        objects=3,
        first=1.5,
        last=10.5,
        settled=7,
    ),
    CommitmentReported(id="0e" * 16, at=1.5, calling_ae="CT1", called_ae="PACS", instances=3, failed=1),
)
BODIES: dict[FrameKind, tuple[bytes | memoryview, ...]] = {
    FrameKind.MESSAGE: message_payload(b"command", b"data"),
    FrameKind.DATA: (b"data",),
    FrameKind.PDUS: (encode_pdus_head(PdusHead(1000, 7)), b"pdus"),
    FrameKind.RELEASE_RQ: (),
    FrameKind.RELEASE_RP: (),
    FrameKind.CANCEL: (encode_u64(4096),),
    FrameKind.CANCELLED: (encode_u64(8192),),
    FrameKind.CLOSE: (bytes((1,)),),
    FrameKind.ACK: (encode_ack_body(AckBody(5000, 0)),),
    FrameKind.PROBE: (encode_u32(77),),
    FrameKind.ABORT: (bytes((2, 6)), encode_u32(77)),
    FrameKind.RESET: (encode_u32(77),),
    FrameKind.TAKEN: (encode_u32(77),),
    FrameKind.NACK: (encode_ack_body(AckBody(6000, 3)),),
}
FLAGS = {FrameKind.MESSAGE: WHOLE, FrameKind.DATA: LAST}
OPERATION = encode_frame(
    0x0102_0304,
    FrameKind.MESSAGE,
    *message_payload(store_rq(7, "1.2.3", b"").command, b"data"),
    position=1 << 40,
    acknowledged=1 << 33,
    flags=WHOLE,
    context_id=3,
)


def recorded() -> dict[str, Any]:
    """Return what the file of this version holds."""
    frames = {
        kind.name: encode_frame(
            0x0102_0304,
            kind,
            *BODIES[kind],
            position=1 << 40,
            acknowledged=1 << 33,
            flags=FLAGS.get(kind, 0),
            context_id=3 if kind < FrameKind.RELEASE_RQ else 0,
        ).hex()
        for kind in FrameKind
    }
    messages = [
        {
            "model": type(model).__name__,
            "hex": pack(model, OPERATION if isinstance(model, OperationRequest) else TAIL).hex(),
            "says": model.model_dump(mode="json"),
        }
        for model in MODELS
    ]
    return {"version": str(VERSION), "frames": frames, "messages": messages}


def main() -> None:
    """Write this version's file."""
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"{VERSION}.json"
    file.write_text(json.dumps(recorded(), indent=1) + "\n")
    print(file)


if __name__ == "__main__":
    main()
