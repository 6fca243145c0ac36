"""The association's state machine (PS3.8 §9.2), as data.

The rules in prose:

* A transport connection that opens inwards must bring an A-ASSOCIATE-RQ before ARTIM runs out (Sta2);
  anything else is aborted. The request is refused by the provider at once, or goes to the local user, who
  accepts or rejects (Sta3).
* Outwards: connect (Sta4), request (Sta5), then accepted (Sta6) or rejected.
* In Sta6 data flow both ways. Either side may ask for release: the asker (Sta7) still receives data until the
  A-RELEASE-RP comes; the asked (Sta8) may still send data until it answers.
* Both may ask at once, a release collision: the association's requestor answers first (Sta9, then Sta11
  waiting for the other answer), its acceptor waits for that answer (Sta10) and answers then (Sta12).
* Any PDU that is out of place, or that can't be understood, is answered with A-ABORT; the user may abort too.
* Whoever sent A-ABORT, A-ASSOCIATE-RJ or A-RELEASE-RP waits for the *other* side to close (Sta13), no longer
  than ARTIM. Whoever receives one closes.
* The transport may close at any time: that ends everything.

`TRANSITIONS` is table 9-10. What it doesn't list can't happen: `InvalidTransition`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, unique
from types import MappingProxyType

from dimse_mesh.upper_layer.errors import InvalidTransition
from dimse_mesh.upper_layer.pdu import PduType


@unique
class State(Enum):
    """Tables 9-1 to 9-5."""

    STA1 = "idle"
    STA2 = "transport connection open, awaiting A-ASSOCIATE-RQ"
    STA3 = "awaiting the local user's A-ASSOCIATE response"
    STA4 = "awaiting the transport connection"
    STA5 = "awaiting A-ASSOCIATE-AC or A-ASSOCIATE-RJ"
    STA6 = "association established, ready for data transfer"
    STA7 = "awaiting A-RELEASE-RP"
    STA8 = "awaiting the local user's A-RELEASE response"
    STA9 = "release collision, requestor: awaiting the local user's A-RELEASE response"
    STA10 = "release collision, acceptor: awaiting A-RELEASE-RP"
    STA11 = "release collision, requestor: awaiting A-RELEASE-RP"
    STA12 = "release collision, acceptor: awaiting the local user's A-RELEASE response"
    STA13 = "awaiting the close of the transport connection"


@unique
class Event(Enum):
    """The rows of table 9-10. A "primitive" comes from the local user, a PDU from the peer."""

    EVT1 = "A-ASSOCIATE request primitive"
    EVT2 = "transport connection confirmed"
    EVT3 = "A-ASSOCIATE-AC PDU"
    EVT4 = "A-ASSOCIATE-RJ PDU"
    EVT5 = "transport connection indication"
    EVT6 = "A-ASSOCIATE-RQ PDU"
    EVT7 = "A-ASSOCIATE response primitive: accept"
    EVT8 = "A-ASSOCIATE response primitive: reject"
    EVT9 = "P-DATA request primitive"
    EVT10 = "P-DATA-TF PDU"
    EVT11 = "A-RELEASE request primitive"
    EVT12 = "A-RELEASE-RQ PDU"
    EVT13 = "A-RELEASE-RP PDU"
    EVT14 = "A-RELEASE response primitive"
    EVT15 = "A-ABORT request primitive"
    EVT16 = "A-ABORT PDU"
    EVT17 = "transport connection closed"
    EVT18 = "ARTIM expired"
    EVT19 = "unrecognized or invalid PDU"


@unique
class Action(Enum):
    """Tables 9-6 to 9-9: what must be done."""

    AE_1 = "connect the transport"
    AE_2 = "send A-ASSOCIATE-RQ"
    AE_3 = "tell the user: accepted"
    AE_4 = "tell the user: rejected; close the transport"
    AE_5 = "accept the transport connection; start ARTIM"
    AE_6 = "stop ARTIM; tell the user of the request, or send A-ASSOCIATE-RJ and start ARTIM"
    AE_7 = "send A-ASSOCIATE-AC"
    AE_8 = "send A-ASSOCIATE-RJ; start ARTIM"
    DT_1 = "send P-DATA-TF"
    DT_2 = "give the data to the user"
    AR_1 = "send A-RELEASE-RQ"
    AR_2 = "tell the user: release asked for"
    AR_3 = "tell the user: released; close the transport"
    AR_4 = "send A-RELEASE-RP; start ARTIM"
    AR_5 = "stop ARTIM"
    AR_6 = "give the data to the user (release pending)"
    AR_7 = "send P-DATA-TF (release pending)"
    AR_8 = "tell the user: release collision"
    AR_9 = "send A-RELEASE-RP (release collision)"
    AR_10 = "tell the user: released (release collision)"
    AA_1 = "send A-ABORT (service user); start or restart ARTIM"
    AA_2 = "stop ARTIM; close the transport"
    AA_3 = "tell the user: aborted; close the transport"
    AA_4 = "tell the user: aborted by the provider"
    AA_5 = "stop ARTIM (nothing had been asked for yet)"
    AA_6 = "ignore the PDU"
    AA_7 = "send A-ABORT (service provider)"
    AA_8 = "send A-ABORT (service provider); tell the user; start ARTIM"


EVENT_OF_PDU: Mapping[int, Event] = MappingProxyType(
    {
        PduType.ASSOCIATE_RQ: Event.EVT6,
        PduType.ASSOCIATE_AC: Event.EVT3,
        PduType.ASSOCIATE_RJ: Event.EVT4,
        PduType.P_DATA_TF: Event.EVT10,
        PduType.RELEASE_RQ: Event.EVT12,
        PduType.RELEASE_RP: Event.EVT13,
        PduType.ABORT: Event.EVT16,
    }
)
"""The event that the arrival of a well-formed PDU is."""

_S = tuple(State)  # _S[n - 1] is Sta<n>


def _in(action: Action, *numbers: int) -> dict[State, Action]:
    return {_S[number - 1]: action for number in numbers}


_ROWS: dict[Event, dict[State, Action]] = {
    Event.EVT1: _in(Action.AE_1, 1),
    Event.EVT2: _in(Action.AE_2, 4),
    Event.EVT3: _in(Action.AA_1, 2)
    | _in(Action.AA_8, 3, 6, 7, 8, 9, 10, 11, 12)
    | _in(Action.AE_3, 5)
    | _in(Action.AA_6, 13),
    Event.EVT4: _in(Action.AA_1, 2)
    | _in(Action.AA_8, 3, 6, 7, 8, 9, 10, 11, 12)
    | _in(Action.AE_4, 5)
    | _in(Action.AA_6, 13),
    Event.EVT5: _in(Action.AE_5, 1),
    Event.EVT6: _in(Action.AE_6, 2) | _in(Action.AA_8, 3, 5, 6, 7, 8, 9, 10, 11, 12) | _in(Action.AA_7, 13),
    Event.EVT7: _in(Action.AE_7, 3),
    Event.EVT8: _in(Action.AE_8, 3),
    Event.EVT9: _in(Action.DT_1, 6) | _in(Action.AR_7, 8),
    Event.EVT10: _in(Action.AA_1, 2)
    | _in(Action.AA_8, 3, 5, 8, 9, 10, 11, 12)
    | _in(Action.DT_2, 6)
    | _in(Action.AR_6, 7)
    | _in(Action.AA_6, 13),
    Event.EVT11: _in(Action.AR_1, 6),
    Event.EVT12: _in(Action.AA_1, 2)
    | _in(Action.AA_8, 3, 5, 8, 9, 10, 11, 12)
    | _in(Action.AR_2, 6)
    | _in(Action.AR_8, 7)
    | _in(Action.AA_6, 13),
    Event.EVT13: _in(Action.AA_1, 2)
    | _in(Action.AA_8, 3, 5, 6, 8, 9, 12)
    | _in(Action.AR_3, 7, 11)
    | _in(Action.AR_10, 10)
    | _in(Action.AA_6, 13),
    Event.EVT14: _in(Action.AR_4, 8, 12) | _in(Action.AR_9, 9),
    Event.EVT15: _in(Action.AA_1, 3, 5, 6, 7, 8, 9, 10, 11, 12) | _in(Action.AA_2, 4),
    Event.EVT16: _in(Action.AA_2, 2, 13) | _in(Action.AA_3, 3, 5, 6, 7, 8, 9, 10, 11, 12),
    Event.EVT17: _in(Action.AA_5, 2)
    | _in(Action.AA_4, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
    | _in(Action.AR_5, 13),
    Event.EVT18: _in(Action.AA_2, 2, 13),
    Event.EVT19: _in(Action.AA_1, 2) | _in(Action.AA_8, 3, 5, 6, 7, 8, 9, 10, 11, 12) | _in(Action.AA_7, 13),
}

TRANSITIONS: Mapping[tuple[State, Event], Action] = MappingProxyType(
    {(state, event): action for event, row in _ROWS.items() for state, action in row.items()}
)
"""Table 9-10."""

NEXT_STATE: Mapping[Action, State | tuple[State, State]] = MappingProxyType(
    {
        Action.AE_1: State.STA4,
        Action.AE_2: State.STA5,
        Action.AE_3: State.STA6,
        Action.AE_4: State.STA1,
        Action.AE_5: State.STA2,
        Action.AE_6: (State.STA3, State.STA13),  # acceptable to the provider, or not
        Action.AE_7: State.STA6,
        Action.AE_8: State.STA13,
        Action.DT_1: State.STA6,
        Action.DT_2: State.STA6,
        Action.AR_1: State.STA7,
        Action.AR_2: State.STA8,
        Action.AR_3: State.STA1,
        Action.AR_4: State.STA13,
        Action.AR_5: State.STA1,
        Action.AR_6: State.STA7,
        Action.AR_7: State.STA8,
        Action.AR_8: (State.STA9, State.STA10),  # the association's requestor, or its acceptor
        Action.AR_9: State.STA11,
        Action.AR_10: State.STA12,
        Action.AA_1: State.STA13,
        Action.AA_2: State.STA1,
        Action.AA_3: State.STA1,
        Action.AA_4: State.STA1,
        Action.AA_5: State.STA1,
        Action.AA_6: State.STA13,
        Action.AA_7: State.STA13,
        Action.AA_8: State.STA13,
    }
)
"""Where each action leads; two states where it depends (AE-6, AR-8)."""


SENDS_ABORT = frozenset((Action.AA_1, Action.AA_7, Action.AA_8))
CLOSES_TRANSPORT = frozenset((Action.AE_4, Action.AR_3, Action.AA_2, Action.AA_3))
STARTS_ARTIM = frozenset((Action.AE_5, Action.AE_8, Action.AR_4, Action.AA_1, Action.AA_8))
STOPS_ARTIM = frozenset((Action.AE_6, Action.AR_5, Action.AA_2, Action.AA_5))

IGNORED_IN_RELAY = frozenset(
    ((State.STA8, Event.EVT10), (State.STA8, Event.EVT12), (State.STA10, Event.EVT12))
)
"""What a relay ignores though table 9-10 would abort: what a peer sends behind its A-RELEASE-RQ.

The relay's Sta8 lasts for as long as the answer is on its way. A peer that answers at once is in Sta13 by then, and
ignores it.
"""


def next_state(action: Action, *, requestor: bool, acceptable: bool) -> State:
    """Resolve `NEXT_STATE`: AE-6 asks if the request is `acceptable`, AR-8 if we are the `requestor`."""
    state = NEXT_STATE[action]
    if isinstance(state, State):
        return state
    return state[0] if (acceptable if action is Action.AE_6 else requestor) else state[1]


_TAKING_DATA = frozenset(
    state for (state, event), action in TRANSITIONS.items() if event is Event.EVT10 and action.name[1] != "A"
)
_SENDING_DATA = frozenset(state for state, event in TRANSITIONS if event is Event.EVT9)


class AssociationMachine:
    """The state of one association, on one side of it. Does nothing itself: the caller acts.

    Args:
        relay: the local user is the other side's peer, so its answers take a while: see `IGNORED_IN_RELAY`.
    """

    __slots__ = ("_relay", "requestor", "sends_data", "state", "takes_data")

    def __init__(self, *, requestor: bool, state: State = State.STA1, relay: bool = False) -> None:
        self.requestor = requestor
        """True on the side that sent (or will send) the A-ASSOCIATE-RQ."""
        self._relay = relay
        self._move(state)

    def _move(self, state: State) -> None:
        self.state = state
        self.takes_data = state in _TAKING_DATA
        """Whether P-DATA-TF is in order (DT-2, AR-6). It leaves the state as it is, so a run of it needs one look."""
        self.sends_data = state in _SENDING_DATA
        """Whether a P-DATA request is (DT-1, AR-7)."""

    def handle(self, event: Event, *, acceptable: bool = True) -> Action:
        """Move to the next state and return what must be done.

        `acceptable` matters for `Event.EVT6` in Sta2 only: False if the provider itself rejects the request.
        Raises `InvalidTransition`, leaving the state as it is, for what table 9-10 doesn't list.
        """
        if self._relay and (self.state, event) in IGNORED_IN_RELAY:
            return Action.AA_6
        action = TRANSITIONS.get((self.state, event))
        if action is None:
            raise InvalidTransition(f"{event.name} ({event.value}) in {self.state.name} ({self.state.value})")
        self._move(next_state(action, requestor=self.requestor, acceptable=acceptable))
        return action
