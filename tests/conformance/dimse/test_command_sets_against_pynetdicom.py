"""Every DIMSE message, both ways, against pynetdicom's encoder and decoder as the oracle."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.tag import BaseTag
from pynetdicom import dimse_messages
from pynetdicom.dimse_messages import _COMMAND_SET_KEYWORDS, _MESSAGE_TYPES, DIMSEMessage
from pynetdicom.dsutils import encode
from pynetdicom.pdu import P_DATA_TF

from dimse_mesh.dimse import (
    CommandField,
    CommandReceived,
    CommandSet,
    DataFragment,
    MessageAssembler,
    Tag,
    encode_message,
    parse_head,
    response_to,
)
from dimse_mesh.dimse.tags import VALUE_REPRESENTATIONS
from tests.unit.dimse.wire import pdus

VALUES: dict[str, Any] = {
    "AffectedSOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
    "RequestedSOPClassUID": "1.2.840.10008.3.1.2.3.3",
    "MessageID": 4711,
    "MessageIDBeingRespondedTo": 65535,
    "Priority": 2,
    "Status": 0xA702,
    "AffectedSOPInstanceUID": "1.2.276.0.7230010.3.1.4.1",
    "RequestedSOPInstanceUID": "1.2.276.0.7230010.3.1.4.22",
    "MoveDestination": "DEST.AE 1",
    "MoveOriginatorApplicationEntityTitle": "ORIGINATOR AE.16",
    "MoveOriginatorMessageID": 12,
    "OffendingElement": [0x00100020, 0x00080018],
    "AttributeIdentifierList": [0x00100010, 0x0020000D, 0x7FE00010],
    "ErrorComment": "Out of space",
    "ErrorID": 9,
    "EventTypeID": 2,
    "ActionTypeID": 1,
    "NumberOfRemainingSuboperations": 1,
    "NumberOfCompletedSuboperations": 2,
    "NumberOfFailedSuboperations": 3,
    "NumberOfWarningSuboperations": 4,
}
DATA_SET = b"\x10\x00\x10\x00\x08\x00\x00\x00PHANTOM^" * 30

MESSAGES = [(CommandField(field), name) for field, (name, _) in sorted(_MESSAGE_TYPES.items())]


def oracle_message(field: CommandField, name: str, data: bytes | None) -> DIMSEMessage:
    """Return pynetdicom's message of this type with every element set."""
    message: DIMSEMessage = getattr(dimse_messages, name.replace("-", "_"))()
    for keyword in _COMMAND_SET_KEYWORDS[name]:
        if keyword in VALUES:
            setattr(message.command_set, keyword, VALUES[keyword])
    message.command_set.CommandField = int(field)
    message.command_set.CommandDataSetType = 0x0101 if data is None else 0x0001
    message.command_set.CommandGroupLength = 0
    encoded = encode(message.command_set, True, True)
    assert encoded is not None
    message.command_set.CommandGroupLength = len(encoded) - 12
    message.data_set.write(data or b"")  # type: ignore[union-attr]  # a BytesIO after __init__
    return message


def our_elements(message: DIMSEMessage) -> dict[int, bytes | int | str]:
    """Return the elements of pynetdicom's command set as `CommandSet.build` takes them."""
    elements: dict[int, bytes | int | str] = {}
    for element in message.command_set:
        if element.VR == "AT":
            tags = [BaseTag(tag) for tag in element.value]
            elements[int(element.tag)] = b"".join(
                tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little") for tag in tags
            )
        else:
            elements[int(element.tag)] = (
                int(element.value) if element.VR in ("US", "UL") else str(element.value)
            )
    return elements


def test_oracle_and_we_know_the_same_messages_and_elements() -> None:
    assert [field for field, _ in MESSAGES] == sorted(CommandField)
    keywords = {keyword for keywords in _COMMAND_SET_KEYWORDS.values() for keyword in keywords}
    assert keywords == {tag.name for tag in Tag}
    assert set(VALUE_REPRESENTATIONS) == set(Tag)


@pytest.mark.parametrize("data", [None, DATA_SET], ids=["no data set", "data set"])
@pytest.mark.parametrize("max_pdu", [16, 128, 16384, 0])
@pytest.mark.parametrize(("field", "name"), MESSAGES, ids=[name for _, name in MESSAGES])
def test_message_of_the_oracle_is_assembled(
    field: CommandField, name: str, max_pdu: int, data: bytes | None
) -> None:
    oracle = oracle_message(field, name, data)
    assembler = MessageAssembler()
    events = []
    for primitive in oracle.encode_msg(3, max_pdu):
        for context_id, value in primitive.presentation_data_value_list:
            event = assembler.pdv(context_id, value[0], memoryview(value)[1:])
            if event is not None:
                events.append(event)
    assert assembler.idle
    received, *fragments = events
    assert isinstance(received, CommandReceived)
    assert received.head == parse_head(received.command)
    command = CommandSet.parse(received.command)
    assert command.encode() == encode(oracle.command_set, True, True)
    assert command.command_field == field
    assert command.has_data_set == (data is not None)
    assert command == CommandSet.build(our_elements(oracle))
    collected = b"".join(event.fragment for event in fragments if isinstance(event, DataFragment))
    assert collected == (data or b"")


@pytest.mark.parametrize("data", [None, DATA_SET], ids=["no data set", "data set"])
@pytest.mark.parametrize("max_pdu", [7, 8, 128, 16384, 0])
@pytest.mark.parametrize(("field", "name"), MESSAGES, ids=[name for _, name in MESSAGES])
def test_message_of_ours_is_understood_by_the_oracle(
    field: CommandField, name: str, max_pdu: int, data: bytes | None
) -> None:
    expected = oracle_message(field, name, data)
    command = CommandSet.build(our_elements(expected))
    decoded = DIMSEMessage()
    complete = []
    for body in pdus(encode_message(5, command.encode(), data, max_pdu)):
        pdu = P_DATA_TF()
        pdu.decode(b"\x04\x00" + len(body).to_bytes(4, "big") + body)
        complete.append(decoded.decode_msg(pdu.to_primitive()))
    assert complete == [False] * (len(complete) - 1) + [True]
    assert type(decoded) is type(expected)
    assert decoded.context_id == 5
    assert decoded.command_set == expected.command_set
    assert decoded.data_set is not None
    assert decoded.data_set.getvalue() == (data or b"")


@pytest.mark.parametrize(
    ("field", "name"),
    [(field, name) for field, name in MESSAGES if name.endswith("RQ") and name != "C-CANCEL-RQ"],
    ids=[name for _, name in MESSAGES if name.endswith("RQ") and name != "C-CANCEL-RQ"],
)
def test_response_has_only_elements_that_its_message_type_has(field: CommandField, name: str) -> None:
    request = CommandSet.build(our_elements(oracle_message(field, name, DATA_SET)))
    response = response_to(request, 0x0110, error_comment="no")
    allowed = {Tag[keyword] for keyword in _COMMAND_SET_KEYWORDS[name.replace("RQ", "RSP")]}
    assert set(response) <= allowed
    repeated = {Tag.AffectedSOPClassUID, Tag.AffectedSOPInstanceUID, Tag.EventTypeID, Tag.ActionTypeID}
    assert set(response) >= allowed & repeated
