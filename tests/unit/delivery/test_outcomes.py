"""What follows from a destination's answer."""

from __future__ import annotations

import pytest

from dimse_mesh.client import AssociationError, AssociationFailure
from dimse_mesh.delivery.outcomes import DeliveryCause, Scope, answered, opening_failed, sending_failed
from dimse_mesh.dimse import response_to, store_request
from dimse_mesh.upper_layer import AssociateRJ

REQUEST = store_request(1, sop_class="1.2", sop_instance="1.2.3")


@pytest.mark.parametrize(
    ("status", "cause", "scope"),
    [
        (0x0000, DeliveryCause.DELIVERED, Scope.NOBODY),
        (0xB000, DeliveryCause.WARNING, Scope.NOBODY),
        (0xB007, DeliveryCause.WARNING, Scope.NOBODY),
        (0x0111, DeliveryCause.DUPLICATE, Scope.NOBODY),
        (0xA700, DeliveryCause.OUT_OF_RESOURCES, Scope.DESTINATION),
        (0xA7FF, DeliveryCause.OUT_OF_RESOURCES, Scope.DESTINATION),
        (0x0110, DeliveryCause.FAILURE, Scope.DESTINATION),
        (0x0122, DeliveryCause.NO_SOP_CLASS, Scope.DEAD_LETTER),
        (0xA900, DeliveryCause.FAILURE, Scope.DEAD_LETTER),
        (0xC000, DeliveryCause.FAILURE, Scope.DEAD_LETTER),
    ],
)
def test_status(status: int, cause: DeliveryCause, scope: Scope) -> None:
    response = response_to(REQUEST, status)
    outcome = answered(response, 1)
    assert outcome.answer == response.encode()
    assert (outcome.cause, outcome.scope, outcome.status) == (cause, scope, status)


def test_an_object_that_fails_again_and_again_holds_up_its_study_alone() -> None:
    response = response_to(REQUEST, 0xA700)
    assert [answered(response, attempts).scope for attempts in (1, 2, 3, 4)] == [
        Scope.DESTINATION,
        Scope.DESTINATION,
        Scope.STUDY,
        Scope.STUDY,
    ]
    lost = AssociationError("gone", AssociationFailure.NO_RESPONSE)
    assert sending_failed(lost, 1, was_idle=False).scope is Scope.DESTINATION
    assert sending_failed(lost, 3, was_idle=False).scope is Scope.STUDY


def test_an_association_that_may_have_ended_while_it_was_idle_costs_no_attempt() -> None:
    for failure in (AssociationFailure.LOST, AssociationFailure.ABORTED, AssociationFailure.NO_RESPONSE):
        outcome = sending_failed(AssociationError("over", failure), 1, was_idle=True)
        assert (outcome.scope, outcome.tried) == (Scope.AGAIN, False)
    silent = AssociationError("no answer within 60 s", AssociationFailure.TIMED_OUT)
    assert sending_failed(silent, 1, was_idle=True).tried


@pytest.mark.parametrize(("result", "scope"), [(1, Scope.CALLING_AE), (2, Scope.DESTINATION)])
def test_rejection(result: int, scope: Scope) -> None:
    rejection = AssociateRJ(result, 1, 3)
    error = AssociationError("rejected", AssociationFailure.REJECTED, rejection=rejection)
    assert opening_failed(error).cause is DeliveryCause.REJECTED
    assert opening_failed(error).scope is scope
