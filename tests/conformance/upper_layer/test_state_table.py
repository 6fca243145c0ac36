"""Table 9-10 and the next states of tables 9-6 to 9-9, against pynetdicom's."""

from __future__ import annotations

import pytest
from pynetdicom.fsm import ACTIONS, TRANSITION_TABLE

from dimse_mesh.upper_layer import (
    NEXT_STATE,
    TRANSITIONS,
    Action,
    AssociationMachine,
    Event,
    InvalidTransition,
    State,
)


def theirs(name: str) -> str:
    """Spell `Sta1`, `Evt1` and `AE-1` as our members are named."""
    return name.upper().replace("-", "_")


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_transition_is_the_oracles(state: State, event: Event) -> None:
    expected = {(theirs(s), theirs(e)): theirs(action) for (e, s), action in TRANSITION_TABLE.items()}
    action = TRANSITIONS.get((state, event))
    assert (None if action is None else action.name) == expected.get((state.name, event.name))


@pytest.mark.parametrize("action", Action)
def test_next_state_is_the_oracles(action: Action) -> None:
    expected = ACTIONS[action.name.replace("_", "-")][2]
    states = NEXT_STATE[action]
    ours = (states,) if isinstance(states, State) else states
    assert [state.name for state in ours] == [
        theirs(name) for name in ([expected] if isinstance(expected, str) else expected)
    ]


@pytest.mark.parametrize("requestor", [True, False])
@pytest.mark.parametrize("acceptable", [True, False])
def test_machine_walks_the_table_and_nothing_else(requestor: bool, acceptable: bool) -> None:
    for state in State:
        for event in Event:
            machine = AssociationMachine(requestor=requestor, state=state)
            action = TRANSITIONS.get((state, event))
            if action is None:
                with pytest.raises(InvalidTransition):
                    machine.handle(event, acceptable=acceptable)
                assert machine.state is state
                continue
            assert machine.handle(event, acceptable=acceptable) is action
            target = NEXT_STATE[action]
            if action is Action.AE_6:
                assert machine.state is (State.STA3 if acceptable else State.STA13)
            elif action is Action.AR_8:
                assert machine.state is (State.STA9 if requestor else State.STA10)
            else:
                assert machine.state is target
