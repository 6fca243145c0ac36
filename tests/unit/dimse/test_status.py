from __future__ import annotations

import pytest

from dimse_mesh.dimse import CommandField, FailureReason, StatusCategory, category, failure_status_for

F = CommandField
R = FailureReason


@pytest.mark.parametrize("field", [F.C_STORE_RQ, F.C_FIND_RQ, F.C_MOVE_RQ, F.N_SET_RQ, F.C_ECHO_RQ])
@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (R.NOT_AUTHORIZED, 0x0124),
        (R.UNSUPPORTED, 0x0122),
        (R.UNRECOGNIZED_OPERATION, 0x0211),
        (R.PROCESSING_FAILURE, 0x0110),
    ],
)
def test_general_failures_are_the_same_for_every_service(field: F, reason: R, status: int) -> None:
    assert failure_status_for(field, reason) == status


@pytest.mark.parametrize(
    ("field", "status"),
    [
        (F.C_STORE_RQ, 0xA700),
        (F.C_FIND_RQ, 0xA700),
        (F.C_MOVE_RQ, 0xA702),
        (F.C_GET_RQ, 0xA702),
        (F.C_GET_RSP, 0xA702),
        (F.N_CREATE_RQ, 0x0213),
        (F.N_EVENT_REPORT_RQ, 0x0213),
        (F.C_ECHO_RQ, 0x0213),
        (0x4242, 0x0213),
    ],
)
def test_lack_of_resources_is_told_in_the_services_own_terms(field: int, status: int) -> None:
    assert failure_status_for(field, R.OUT_OF_RESOURCES) == status


@pytest.mark.parametrize("field", [field for field in CommandField if not field & 0x8000])
@pytest.mark.parametrize("reason", FailureReason)
def test_every_failure_is_a_failure(field: CommandField, reason: FailureReason) -> None:
    assert category(failure_status_for(field, reason)) is StatusCategory.FAILURE
