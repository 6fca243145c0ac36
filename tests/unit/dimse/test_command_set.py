from __future__ import annotations

import pytest

from dimse_mesh.dimse import (
    CommandField,
    CommandHead,
    CommandSet,
    CommandSetError,
    DimseErrorCode,
    Tag,
    cancel_request,
    echo_request,
    parse_head,
    store_request,
)

# C-ECHO-RQ as DCMTK's echoscu sends it
ECHO_RQ = bytes.fromhex(
    "0000 0000 04000000 38000000"  # (0000,0000) UL group length 56
    "0000 0200 12000000"
    + b"1.2.840.10008.1.1\0".hex()  # (0000,0002) UI affected SOP class
    + "0000 0001 02000000 3000"  # (0000,0100) US command field C-ECHO-RQ
    "0000 1001 02000000 0100"  # (0000,0110) US message id 1
    "0000 0008 02000000 0101"  # (0000,0800) US command data set type: none
)


def element(tag: int, value: bytes, group: int = 0) -> bytes:
    return group.to_bytes(2, "little") + tag.to_bytes(2, "little") + len(value).to_bytes(4, "little") + value


MINIMAL = element(Tag.CommandField, b"\x30\x00") + element(Tag.CommandDataSetType, b"\x01\x01")


def test_echo_request_is_what_dcmtk_sends() -> None:
    assert echo_request(1).encode() == ECHO_RQ


def test_typed_properties_read_a_parsed_command_set() -> None:
    command = CommandSet.parse(ECHO_RQ)
    assert command.command_field == CommandField.C_ECHO_RQ
    assert command.affected_sop_class_uid == "1.2.840.10008.1.1"
    assert command.message_id == 1
    assert not command.has_data_set
    assert not command.is_response
    assert command.status is None
    assert command.requested_sop_class_uid is None
    assert command.move_destination is None
    assert list(command) == [0x0000, 0x0002, 0x0100, 0x0110, 0x0800]
    assert len(command) == 5
    assert Tag.MessageID in command
    assert Tag.Status not in command


def test_head_says_the_same() -> None:
    head = parse_head(ECHO_RQ)
    assert head == CommandHead(CommandField.C_ECHO_RQ, 1, 0, -1, False, "1.2.840.10008.1.1")
    assert not head.is_response
    assert not head.is_pending
    assert parse_head(memoryview(ECHO_RQ)) == head


def test_head_takes_the_requested_sop_class_when_none_is_affected() -> None:
    command = CommandSet.build(
        {
            Tag.RequestedSOPClassUID: "1.2.840.10008.3.1.2.3.3",
            Tag.CommandField: CommandField.N_SET_RQ,
            Tag.MessageID: 9,
            Tag.CommandDataSetType: 1,
        }
    )
    head = parse_head(command.encode())
    assert head.sop_class == "1.2.840.10008.3.1.2.3.3"
    assert head.has_data_set


def test_pending_response_is_known_as_such() -> None:
    data = (
        element(Tag.CommandField, b"\x20\x80")
        + element(Tag.MessageIDBeingRespondedTo, b"\x07\x00")
        + element(Tag.CommandDataSetType, b"\x00\x00")
        + element(Tag.Status, b"\x00\xff")
    )
    head = parse_head(data)
    assert (head.is_response, head.is_pending, head.responded_to, head.status) == (True, True, 7, 0xFF00)
    command = CommandSet.parse(data)
    assert command.is_response
    assert command.is_pending
    assert command.message_id_being_responded_to == 7


UNDEFINED = b"\xff\xff\xff\xff"
ITEM = b"\xfe\xff\x00\xe0"
END_OF_ITEM = b"\xfe\xff\x0d\xe0" + bytes(4)
END_OF_SEQUENCE = b"\xfe\xff\xdd\xe0" + bytes(4)


@pytest.mark.parametrize(
    "extra",
    [
        element(0x5110, b"retired "),
        element(0x7777, b"odd"),
        element(Tag.Priority, b""),
        element(Tag.Priority, b"\0\0\0"),
        element(0x0001, b"\0\0\0\0"),
        element(0, b"\1\0\0\0"),
        element(Tag.CommandField, b"\x30\x00"),
        element(Tag.AffectedSOPClassUID, b"1.2") + element(Tag.AffectedSOPClassUID, b"1.2.3 "),
        element(Tag.AffectedSOPInstanceUID, b"M\xfcller\xff"),
        element(Tag.CommandField, b""),
        element(0x0058, b"1.2.3\\1.2.4", group=0x0008),
        element(0x1115, b"", group=0x0008)[:4]
        + UNDEFINED
        + ITEM
        + UNDEFINED
        # inside the item: an element that would be a second command field outside
        + element(Tag.CommandField, b"\1\0")
        + END_OF_ITEM
        + END_OF_SEQUENCE,
        b"\0",
        element(0x9999, b"cut off")[:-1],
        element(0x9999, b"")[:4] + UNDEFINED,
        element(Tag.Status, b"\0\0")[:-1],
    ],
    ids=[
        "retired element",
        "unknown element of odd length",
        "empty number",
        "number of three bytes",
        "out of order",
        "second group length",
        "command field repeated",
        "UID repeated with another value",
        "UID that is none",
        "command field repeated, empty",
        "another group",
        "sequence of undefined length",
        "trailing byte",
        "last element cut off",
        "undefined length without an end",
        "status cut off",
    ],
)
def test_oddities_are_kept_byte_for_byte(extra: bytes) -> None:
    data = element(0, b"\x63\0\0\0") + MINIMAL + extra  # and the group length is wrong
    assert CommandSet.parse(data).encode() == data
    head = parse_head(data)
    assert (head.command_field, head.has_data_set, head.status) == (CommandField.C_ECHO_RQ, False, -1)
    changed = CommandSet.parse(data).replace({Tag.MessageID: 3})
    assert changed.encode().endswith(extra) or extra.startswith(bytes(4))  # but for the group length
    assert changed.message_id == 3


@pytest.mark.parametrize(
    ("value", "number"),
    [(b"\7\0", 7), (b"\7\0\0\0", 7), (b"\7\0\x08\0", 7), (b"\7", 7), (b"\7\0\xff", 7), (b"", 0)],
    ids=["as it should be", "as UL", "two values", "one byte", "trailing byte", "empty"],
)
def test_numbers_are_read_by_their_first_value(value: bytes, number: int) -> None:
    data = MINIMAL + element(Tag.MessageIDBeingRespondedTo, value) + element(Tag.MessageID, value)
    assert parse_head(data).responded_to == parse_head(data).message_id == number
    assert (CommandSet.parse(data).message_id or 0) == number
    if value:
        assert parse_head(MINIMAL + element(Tag.Status, value)).status == number


def test_the_last_of_repeated_elements_counts() -> None:
    data = MINIMAL + element(Tag.Status, b"\0\xff") + element(Tag.Status, b"\0\0")
    assert parse_head(data).status == CommandSet.parse(data).status == 0
    changed = CommandSet.parse(data).replace({Tag.Status: 0xA700})
    assert changed.encode().count(element(Tag.Status, b"\x00\xa7")) == 2
    assert CommandSet.parse(data).replace({Tag.Status: None}).status is None


def test_absent_group_length_stays_absent_until_something_is_replaced() -> None:
    command = CommandSet.parse(MINIMAL)
    assert command.encode() == MINIMAL
    changed = command.replace({Tag.MessageID: 3})
    assert changed.get(Tag.CommandGroupLength) == len(changed.encode()[12:]).to_bytes(4, "little")
    assert list(changed) == [0, Tag.CommandField, Tag.MessageID, Tag.CommandDataSetType]


def test_replace_keeps_places_inserts_in_tag_order_and_leaves_the_original() -> None:
    command = CommandSet.parse(ECHO_RQ)
    changed = command.replace({Tag.MessageID: 513, Tag.Priority: 2, Tag.AffectedSOPInstanceUID: "1.2.3"})
    assert list(changed) == [0x0000, 0x0002, 0x0100, 0x0110, 0x0700, 0x0800, 0x1000]
    assert changed.get(Tag.MessageID) == b"\x01\x02"
    assert changed.get(Tag.AffectedSOPInstanceUID) == b"1.2.3\0"
    assert changed.affected_sop_instance_uid == "1.2.3"
    assert changed.number(Tag.CommandGroupLength) == len(changed.encode()) - 12
    assert CommandSet.parse(changed.encode()) == changed
    assert command.encode() == ECHO_RQ


def test_replace_by_none_removes() -> None:
    command = store_request(1, sop_class="1.2", sop_instance="1.3")
    changed = command.replace({Tag.Priority: None, Tag.ErrorID: None})
    assert Tag.Priority not in changed
    assert Tag.Priority in command


def test_replace_keeps_elements_it_does_not_know_in_the_order_sent() -> None:
    data = element(0x9999, b"odd") + MINIMAL + element(0x0001, b"")
    changed = CommandSet.parse(data).replace({Tag.MessageID: 1})
    assert list(changed) == [0, Tag.MessageID, 0x9999, Tag.CommandField, Tag.CommandDataSetType, 0x0001]
    assert changed.get(0x9999) == b"odd"


def test_texts_are_padded_with_spaces_and_read_without_padding() -> None:
    command = CommandSet.build(
        {
            Tag.CommandField: CommandField.C_MOVE_RQ,
            Tag.CommandDataSetType: 1,
            Tag.MoveDestination: "ARCHIVE",
            Tag.ErrorComment: "odd",
            Tag.MoveOriginatorApplicationEntityTitle: " A.B C ",
        }
    )
    assert command.get(Tag.MoveDestination) == b"ARCHIVE "
    assert command.move_destination == "ARCHIVE"
    assert command.get(Tag.ErrorComment) == b"odd "
    assert command.error_comment == "odd"
    assert command.move_originator_ae == "A.B C"


def test_attribute_tags_are_written_group_first() -> None:
    command = echo_request(1).replace({Tag.OffendingElement: 0x0010_0020})
    assert command.get(Tag.OffendingElement) == b"\x10\x00\x20\x00"


def test_numbers_of_suboperations_are_read() -> None:
    command = echo_request(1).replace(
        {
            Tag.NumberOfRemainingSuboperations: 4,
            Tag.NumberOfCompletedSuboperations: 3,
            Tag.NumberOfFailedSuboperations: 2,
            Tag.NumberOfWarningSuboperations: 1,
            Tag.MoveOriginatorMessageID: 5,
        }
    )
    assert command.remaining_suboperations == 4
    assert command.completed_suboperations == 3
    assert command.failed_suboperations == 2
    assert command.warning_suboperations == 1
    assert command.move_originator_message_id == 5


def test_equality_and_hash_follow_the_bytes() -> None:
    assert echo_request(1) == CommandSet.parse(ECHO_RQ)
    assert len({echo_request(1), CommandSet.parse(ECHO_RQ), echo_request(2)}) == 2
    assert echo_request(1) != ECHO_RQ


def test_repr_names_the_message_and_no_instance() -> None:
    command = store_request(3, sop_class="1.2", sop_instance="1.2.3.777")
    assert "C_STORE_RQ" in repr(command)
    assert "777" not in repr(command)
    assert "0x4242" in repr(command.replace({Tag.CommandField: 0x4242}))


def test_command_set_cannot_be_changed_or_made_empty() -> None:
    with pytest.raises(TypeError):
        CommandSet()
    with pytest.raises(TypeError):
        echo_request(1).elements[0x0100] = b""  # type: ignore[index]


def test_cancel_names_the_request_that_it_cancels() -> None:
    assert parse_head(cancel_request(77).encode()) == (CommandField.C_CANCEL_RQ, 0, 77, -1, False, "")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", DimseErrorCode.MISSING_COMMAND_FIELD),
        (element(Tag.CommandDataSetType, b"\x01\x01"), DimseErrorCode.MISSING_COMMAND_FIELD),
        (element(Tag.CommandField, b"\x30\x00"), DimseErrorCode.MISSING_DATA_SET_TYPE),
        (ECHO_RQ[:-1], DimseErrorCode.MISSING_DATA_SET_TYPE),
        (MINIMAL + element(Tag.CommandField, b"\1\0"), DimseErrorCode.AMBIGUOUS_COMMAND_FIELD),
    ],
)
def test_command_set_that_does_not_say_what_it_is_is_refused_by_both_readers(
    data: bytes, code: DimseErrorCode
) -> None:
    with pytest.raises(CommandSetError) as by_head:
        parse_head(data)
    with pytest.raises(CommandSetError) as by_set:
        CommandSet.parse(data)
    assert by_head.value.code == by_set.value.code == code


def test_errors_hold_no_values() -> None:
    with pytest.raises(CommandSetError) as error:
        CommandSet.parse(element(Tag.AffectedSOPInstanceUID, b"DOE^JANE\xff"))
    assert "DOE" not in str(error.value)


@pytest.mark.parametrize(
    "changes",
    [
        {Tag.MessageID: 65536},
        {Tag.MessageID: -1},
        {Tag.MessageID: "1"},
        {Tag.MessageID: b"\0"},
        {Tag.MessageID: b""},
        {Tag.CommandField: None},
        {Tag.CommandDataSetType: None},
        {Tag.MoveDestination: "SEVENTEEN LETTERS"},
        {Tag.MoveDestination: 1},
        {Tag.AffectedSOPClassUID: "1." * 33},
        {Tag.AffectedSOPClassUID: "é"},
        {Tag.ErrorComment: "漢"},
        {Tag.ErrorComment: b"odd"},
        {0x5110: "text"},
        {0x5110: 1},
        {0x0008_0018: b""},
    ],
)
def test_value_that_does_not_fit_is_the_callers_error(changes: dict[int, bytes | int | str | None]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        echo_request(1).replace(changes)
