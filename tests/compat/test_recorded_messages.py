"""Today's code reads what every released version of its major version has sent, recorded as bytes."""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path
from typing import Any

import pytest

import dimse_mesh.schemas
from dimse_mesh.dimse import CommandField, CommandSet
from dimse_mesh.endpoint.operation_message import read_operation
from dimse_mesh.mesh import unpack
from dimse_mesh.schemas.frames import (
    FrameKind,
    decode_ack_body,
    decode_message_payload,
    decode_pdus_payload,
    decode_u32,
    decode_u64,
    iter_frames,
)
from dimse_mesh.schemas.service import WireModel
from dimse_mesh.schemas.version import VERSION

FOLDER = Path(__file__).parent / "recorded"
FILES = sorted(FOLDER.glob(f"{VERSION.major}.*.json"))
PARTS = {
    "EncryptionOffer",
    "ObjectEncryptionHead",
    "ObjectKey",
    "Dead",
    "KnownContext",
    "ObjectName",
    "WaitedFor",
}
"""Models that stand in others and never alone."""


def load(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def models() -> dict[str, type[WireModel]]:
    """Return every model of schemas/, by name."""
    for module in pkgutil.iter_modules(dimse_mesh.schemas.__path__, "dimse_mesh.schemas."):
        importlib.import_module(module.name)
    return {model.__name__: model for model in WireModel.__subclasses__()}


MESSAGES = [
    pytest.param(message, id=f"{load(file)['version']}-{message['model']}-{number}")
    for file in FILES
    for number, message in enumerate(load(file)["messages"])
]
OPERATIONS = [one for one in MESSAGES if "OperationRequest" in str(one.id)]
FRAMES = [
    pytest.param(kind, bytes.fromhex(frame), id=f"{load(file)['version']}-{kind}")
    for file in FILES
    for kind, frame in load(file)["frames"].items()
]


def test_there_is_a_record_of_this_version() -> None:
    assert (FOLDER / f"{VERSION}.json") in FILES


def test_every_model_and_every_kind_of_frame_is_recorded() -> None:
    """A new one? `python -m tests.compat.record`, as long as this version is not released."""
    messages = {message["model"] for file in FILES for message in load(file)["messages"]}
    frames = {kind for file in FILES for kind in load(file)["frames"]}
    assert models().keys() - PARTS == messages
    assert {kind.name for kind in FrameKind} == frames


@pytest.mark.parametrize("message", MESSAGES)
def test_a_recorded_message_says_what_it_said(message: dict[str, Any]) -> None:
    head, tail = unpack(models()[message["model"]], bytes.fromhex(message["hex"]))
    said = head.model_dump(mode="json")
    assert message["says"].items() <= said.items()
    assert bytes(tail) == bytes(range(8)) or message["model"] == "OperationRequest"


@pytest.mark.parametrize("message", OPERATIONS)
def test_a_recorded_operation_asks_for_what_it_asked(message: dict[str, Any]) -> None:
    operation, frame = read_operation(bytes.fromhex(message["hex"]))
    head = operation.head
    assert message["says"].items() <= operation.request.model_dump(mode="json").items()
    assert operation.position == 1 << 40
    assert (frame.kind, frame.channel) == (FrameKind.MESSAGE, 0x0102_0304)
    assert (frame.position, frame.acknowledged) == (1 << 40, 1 << 33)
    assert (frame.flags, frame.context_id) == (1, 3)
    assert (head.command_field, head.message_id) == (CommandField.C_STORE_RQ, 7)
    assert CommandSet.parse(operation.command).affected_sop_instance_uid == "1.2.3"
    assert bytes(decode_message_payload(frame.payload)[1]) == b"data"


@pytest.mark.parametrize(("kind", "data"), FRAMES)
def test_a_recorded_frame_says_what_it_said(kind: str, data: bytes) -> None:
    (frame,) = iter_frames(data)
    assert (frame.kind, frame.channel) == (FrameKind[kind], 0x0102_0304)
    assert (frame.position, frame.acknowledged) == (1 << 40, 1 << 33)
    payload = frame.payload
    match FrameKind(frame.kind):
        case FrameKind.MESSAGE:
            command, data_set = decode_message_payload(payload)
            assert (command, bytes(data_set), frame.flags, frame.context_id) == (b"command", b"data", 1, 3)
        case FrameKind.DATA:
            assert (bytes(payload), frame.flags, frame.context_id) == (b"data", 2, 3)
        case FrameKind.PDUS:
            head, pdus = decode_pdus_payload(payload)
            assert (head.largest, head.responded_to, bytes(pdus)) == (1000, 7, b"pdus")
        case FrameKind.RELEASE_RQ | FrameKind.RELEASE_RP:
            assert not payload
        case FrameKind.CLOSE:
            assert bytes(payload) == b"\1"
        case FrameKind.CANCEL:
            assert decode_u64(payload) == 4096
        case FrameKind.CANCELLED:
            assert decode_u64(payload) == 8192
        case FrameKind.ACK:
            assert decode_ack_body(payload) == (5000, 0)
        case FrameKind.NACK:
            assert decode_ack_body(payload) == (6000, 3)
        case FrameKind.ABORT:
            assert bytes(payload[:2]) == b"\2\6"
            assert decode_u32(payload[2:]) == 77
        case FrameKind.PROBE | FrameKind.RESET | FrameKind.TAKEN:
            assert decode_u32(payload) == 77


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_of_a_newer_minor_version_with_a_field_more_is_read(message: dict[str, Any]) -> None:
    data = bytes.fromhex(message["hex"])
    length = int.from_bytes(data[1:4], "big")
    head = json.loads(data[4 : 4 + length]) | {"added_later": {"x": [1]}}
    text = json.dumps(head).encode()
    newer = bytes((VERSION.major << 4 | VERSION.minor + 1,)) + len(text).to_bytes(3, "big") + text
    unpack(models()[message["model"]], newer + data[4 + length :])
