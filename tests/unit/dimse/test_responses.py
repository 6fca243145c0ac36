from __future__ import annotations

import pytest

from dimse_mesh.dimse import (
    CommandField,
    CommandSet,
    Priority,
    Status,
    Tag,
    cancel_request,
    echo_request,
    response_to,
    store_request,
)

REQUESTS = [field for field in CommandField if not field & 0x8000 and field != CommandField.C_CANCEL_RQ]


@pytest.mark.parametrize("field", REQUESTS, ids=lambda field: field.name)
def test_response_answers_its_request(field: CommandField) -> None:
    request = CommandSet.build(
        {
            Tag.CommandField: field,
            Tag.MessageID: 300,
            Tag.AffectedSOPClassUID: "1.2",
            Tag.CommandDataSetType: 1,
        }
    )
    response = response_to(request, Status.PROCESSING_FAILURE)
    assert CommandField(response.command_field).name == field.name.replace("_RQ", "_RSP")
    assert response.message_id_being_responded_to == 300
    assert response.message_id is None
    assert response.status == 0x0110
    assert not response.has_data_set
    assert response.affected_sop_class_uid == "1.2"
    assert response.number(Tag.CommandGroupLength) == len(response.encode()) - 12


@pytest.mark.parametrize(
    "field",
    [CommandField.N_GET_RQ, CommandField.N_SET_RQ, CommandField.N_ACTION_RQ, CommandField.N_DELETE_RQ],
    ids=lambda field: field.name,
)
def test_what_was_requested_is_answered_as_affected(field: CommandField) -> None:
    request = CommandSet.build(
        {
            Tag.RequestedSOPClassUID: "1.2.3",
            Tag.CommandField: field,
            Tag.MessageID: 1,
            Tag.CommandDataSetType: 1,
            Tag.RequestedSOPInstanceUID: "4.5.6",
        }
    )
    response = response_to(request, Status.NOT_AUTHORIZED)
    assert response.affected_sop_class_uid == "1.2.3"
    assert response.affected_sop_instance_uid == "4.5.6"
    assert response.requested_sop_class_uid is None
    assert response.requested_sop_instance_uid is None


@pytest.mark.parametrize("tag", [Tag.EventTypeID, Tag.ActionTypeID])
def test_event_and_action_types_are_repeated(tag: Tag) -> None:
    response = response_to(echo_request(1).replace({tag: 2}), Status.SUCCESS)
    assert response.number(tag) == 2
    assert (response.event_type_id, response.action_type_id) == (
        (2, None) if tag == Tag.EventTypeID else (None, 2)
    )


def test_store_response_names_the_instance_and_drops_the_rest() -> None:
    request = store_request(8, sop_class="1.2", sop_instance="1.2.3", priority=Priority.HIGH)
    assert request.priority == Priority.HIGH
    response = response_to(request, Status.SUCCESS)
    assert list(response) == [0x0000, 0x0002, 0x0100, 0x0120, 0x0800, 0x0900, 0x1000]


def test_comment_is_cut_to_what_the_element_holds() -> None:
    response = response_to(echo_request(1), Status.PROCESSING_FAILURE, error_comment="zone\n\\ " + "ü" * 80)
    assert response.error_comment == "zone?? " + "?" * 57


def test_extra_elements_are_added_and_win() -> None:
    response = response_to(
        echo_request(1), Status.CANCEL, extra={Tag.NumberOfFailedSuboperations: 3, Tag.Status: 0xB000}
    )
    assert response.failed_suboperations == 3
    assert response.status == 0xB000


def test_odd_uid_of_the_request_is_padded() -> None:
    request = CommandSet.parse(
        bytes.fromhex("00000200 03000000") + b"1.2" + echo_request(1).replace({2: None}).encode()[12:]
    )
    assert response_to(request, 0).get(Tag.AffectedSOPClassUID) == b"1.2\0"


@pytest.mark.parametrize(
    "request_",
    [
        cancel_request(1),
        response_to(echo_request(1), 0),
        echo_request(1).replace({Tag.MessageID: None}),
    ],
    ids=["cancel", "response", "no message id"],
)
def test_what_has_no_response_is_refused(request_: CommandSet) -> None:
    with pytest.raises(ValueError, match="response"):
        response_to(request_, Status.SUCCESS)


def test_a_response_answers_the_request_of_its_service_and_message_id_alone() -> None:
    request = echo_request(7)
    assert response_to(request, Status.SUCCESS).answers(request)
    assert not response_to(echo_request(8), Status.SUCCESS).answers(request)
    assert not response_to(
        request, Status.SUCCESS, extra={Tag.CommandField: CommandField.C_STORE_RSP}
    ).answers(request)
    assert not request.answers(request)
