"""The state machine's stories: two machines, one for each side, with no socket between them."""

from __future__ import annotations

import pytest

from dimse_mesh.upper_layer import (
    EVENT_OF_PDU,
    NEXT_STATE,
    TRANSITIONS,
    Action,
    AssociationMachine,
    Event,
    InvalidTransition,
    PduType,
    State,
)


def established() -> tuple[AssociationMachine, AssociationMachine]:
    requestor, acceptor = AssociationMachine(requestor=True), AssociationMachine(requestor=False)
    assert requestor.handle(Event.EVT1) is Action.AE_1
    assert acceptor.handle(Event.EVT5) is Action.AE_5
    assert requestor.handle(Event.EVT2) is Action.AE_2
    assert acceptor.handle(EVENT_OF_PDU[PduType.ASSOCIATE_RQ]) is Action.AE_6
    assert acceptor.handle(Event.EVT7) is Action.AE_7
    assert requestor.handle(EVENT_OF_PDU[PduType.ASSOCIATE_AC]) is Action.AE_3
    assert requestor.state is acceptor.state is State.STA6
    return requestor, acceptor


def test_data_may_still_flow_to_the_one_who_asked_for_release() -> None:
    requestor, acceptor = established()
    assert requestor.handle(Event.EVT11) is Action.AR_1
    assert acceptor.handle(EVENT_OF_PDU[PduType.RELEASE_RQ]) is Action.AR_2
    assert acceptor.handle(Event.EVT9) is Action.AR_7
    assert requestor.handle(EVENT_OF_PDU[PduType.P_DATA_TF]) is Action.AR_6
    assert acceptor.handle(Event.EVT14) is Action.AR_4
    assert requestor.handle(EVENT_OF_PDU[PduType.RELEASE_RP]) is Action.AR_3
    assert (requestor.state, acceptor.state) == (State.STA1, State.STA13)
    assert acceptor.handle(Event.EVT17) is Action.AR_5


def test_release_collision_is_answered_by_the_requestor_first() -> None:
    requestor, acceptor = established()
    requestor.handle(Event.EVT11)
    acceptor.handle(Event.EVT11)
    assert requestor.handle(Event.EVT12) is acceptor.handle(Event.EVT12) is Action.AR_8
    assert (requestor.state, acceptor.state) == (State.STA9, State.STA10)
    assert requestor.handle(Event.EVT14) is Action.AR_9
    assert acceptor.handle(Event.EVT13) is Action.AR_10
    assert acceptor.handle(Event.EVT14) is Action.AR_4
    assert requestor.handle(Event.EVT13) is Action.AR_3


def test_request_refused_by_the_provider_awaits_the_close_of_the_transport() -> None:
    machine = AssociationMachine(requestor=False, state=State.STA2)
    assert machine.handle(Event.EVT6, acceptable=False) is Action.AE_6
    assert machine.state is State.STA13


def test_pdu_out_of_place_is_aborted() -> None:
    _, acceptor = established()
    assert acceptor.handle(EVENT_OF_PDU[PduType.ASSOCIATE_RQ]) is Action.AA_8
    assert acceptor.state is State.STA13


def test_abort_during_release_closes_the_transport() -> None:
    requestor, _ = established()
    requestor.handle(Event.EVT11)
    assert requestor.handle(EVENT_OF_PDU[PduType.ABORT]) is Action.AA_3
    assert requestor.state is State.STA1


def test_event_that_the_table_does_not_list_is_refused_and_changes_nothing() -> None:
    machine = AssociationMachine(requestor=True)
    with pytest.raises(InvalidTransition):
        machine.handle(Event.EVT9)
    assert machine.state is State.STA1


def test_any_pdu_and_any_rubbish_is_answered_in_every_state_with_a_transport_connection() -> None:
    without_connection = {State.STA1, State.STA4}
    for state in set(State) - without_connection:
        for event in {*EVENT_OF_PDU.values(), Event.EVT19, Event.EVT17}:
            assert (state, event) in TRANSITIONS


def test_every_pdu_type_is_an_event_and_every_action_leads_somewhere() -> None:
    assert set(EVENT_OF_PDU) == set(PduType)
    assert set(NEXT_STATE) == set(Action) == set(TRANSITIONS.values())
