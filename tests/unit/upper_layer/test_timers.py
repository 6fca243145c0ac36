"""ARTIM and idle, with a clock that is only a number."""

from __future__ import annotations

from dimse_mesh.upper_layer import Action, AssociationMachine, Event, State, Timer, Timers


def test_artim_runs_from_the_transport_connection_to_the_request() -> None:
    machine, timers = AssociationMachine(requestor=False), Timers(artim=30)
    assert timers.deadline is None
    assert timers.follow(machine.handle(Event.EVT5), machine.state, 100.0) == 130.0
    assert timers.expired(129.9) is None
    assert timers.follow(machine.handle(Event.EVT6), machine.state, 110.0) is None


def test_artim_starts_again_when_the_provider_itself_rejects() -> None:
    machine, timers = AssociationMachine(requestor=False), Timers(artim=30)
    timers.follow(machine.handle(Event.EVT5), machine.state, 0.0)
    assert timers.follow(machine.handle(Event.EVT6, acceptable=False), machine.state, 10.0) == 40.0
    assert timers.expired(40.0) is Timer.ARTIM
    assert timers.expired(41.0) is None
    assert machine.handle(Event.EVT18) is Action.AA_2


def test_artim_runs_after_the_release_answer_until_the_transport_closes() -> None:
    timers = Timers(artim=30)
    assert timers.follow(Action.AR_4, State.STA13, 5.0) == 35.0
    assert timers.follow(Action.AA_6, State.STA13, 7.0) == 35.0  # PDUs that are ignored don't prolong it
    assert timers.follow(Action.AR_5, State.STA1, 9.0) is None


def test_idle_runs_while_the_association_stands_and_restarts_with_traffic() -> None:
    timers = Timers(artim=30, idle=60)
    assert timers.touch(1.0) is None
    assert timers.follow(Action.AE_7, State.STA6, 10.0) == 70.0
    assert timers.follow(Action.DT_2, State.STA6, 20.0) == 80.0
    assert timers.touch(30.0) == 90.0
    assert timers.expired(89.0) is None
    assert timers.expired(90.0) is Timer.IDLE
    assert timers.deadline is None


def test_idle_gives_way_to_artim_when_the_association_ends() -> None:
    timers = Timers(artim=30, idle=5)
    timers.follow(Action.AE_7, State.STA6, 0.0)
    assert timers.follow(Action.AA_1, State.STA13, 1.0) == 31.0
    assert timers.expired(20.0) is None


def test_the_earlier_deadline_is_told_and_artim_comes_first() -> None:
    timers = Timers(artim=30, idle=5)
    timers.follow(Action.AE_5, State.STA2, 0.0)
    assert timers.deadline == 30.0
    timers.follow(Action.DT_2, State.STA6, 1.0)
    assert timers.deadline == 6.0
    assert timers.expired(31.0) is Timer.ARTIM
    assert timers.expired(31.0) is Timer.IDLE
