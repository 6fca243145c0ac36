"""Connections without an association: within the limits, and at nobody else's cost."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from dimse_mesh.association.waiting import GRACE, RESERVED_DESCRIPTORS, Waiting, WaitingRoom
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.runtime.settings_limits import AssociationLimits

LIMITS = AssociationLimits(waiting=6, waiting_per_address=3, waiting_bytes=512 * 1024)
MANY = 10_000

Enter = Callable[[str], Waiting]


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def closed() -> list[str]:
    return []


class Clock:
    """Time that passes when a test says so, with what is due then."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self.due.append((self.now + seconds, action))

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        due, self.due = self.due, []
        for at, action in due:
            if at <= self.now:
                action()
            else:
                self.due.append((at, action))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def room(counters: Counters, clock: Clock) -> WaitingRoom:
    return WaitingRoom(
        LIMITS, counters, taken=lambda: 0, descriptors=MANY, clock=lambda: clock.now, later=clock.later
    )


@pytest.fixture
def enter(room: WaitingRoom, closed: list[str]) -> Enter:
    def enter(name: str) -> Waiting:
        return room.enter(name[0], lambda: closed.append(name), lambda: -1)

    return enter


def test_who_holds_too_many_loses_those_that_are_silent_longest(
    enter: Enter, closed: list[str], clock: Clock
) -> None:
    for name in ("b1", "a1", "a2", "a3", "a4"):
        enter(name)
    assert closed == [], "they have a moment to say something"
    clock.pass_(GRACE / 2)
    enter("a5")
    clock.pass_(GRACE / 2)
    assert closed == ["a1", "a2"]
    clock.pass_(5)
    assert closed == ["a1", "a2"]


def test_of_all_it_is_the_address_that_holds_most(
    enter: Enter, closed: list[str], room: WaitingRoom, counters: Counters
) -> None:
    for name in ("b1", "c1", "c2", "c3", "a1", "a2", "d1"):
        enter(name)
    assert closed == ["c1"]
    assert room.count == 6
    assert counters.connections_dropped["too-many"] == 1


def test_who_was_admitted_or_has_gone_counts_no_more(
    enter: Enter, closed: list[str], room: WaitingRoom
) -> None:
    enter("a1").admitted()
    gone = enter("a2")
    gone.lost()
    gone.lost()
    for name in ("a3", "a4", "a5"):
        enter(name)
    assert closed == []
    assert room.count == 3


def test_bytes_are_counted_over_all(enter: Enter, room: WaitingRoom) -> None:
    first, second = enter("a1"), enter("b1")
    assert first.read(400_000)
    assert not second.read(200_000), "who sends beyond the limit goes"
    assert first.read(100_000)
    first.lost()
    assert room.received == 0


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def test_a_burst_is_served_though_it_is_large(
    room: WaitingRoom, pair: tuple[socket.socket, socket.socket], closed: list[str]
) -> None:
    """Their requests are there, and wait for us."""
    pair[1].send(b"A-ASSOCIATE-RQ")
    for number in range(6):
        room.enter("a", lambda number=number: closed.append(str(number)), pair[0].fileno)  # type: ignore[misc]
    assert closed == []
    room.enter("a", lambda: closed.append("the last"), pair[0].fileno)
    assert closed == ["the last"], "but not without end"


def test_descriptors_are_left_for_associations(counters: Counters, closed: list[str]) -> None:
    """Ten connections fit, eight of them have an association."""
    room = WaitingRoom(LIMITS, counters, taken=lambda: 8, descriptors=RESERVED_DESCRIPTORS + 20)
    for name in ("a", "b", "c"):
        room.enter(name, lambda name=name: closed.append(name), lambda: -1)  # type: ignore[misc]
    assert len(closed) == 1


def test_the_log_is_not_filled(
    enter: Enter, caplog: pytest.LogCaptureFixture, counters: Counters, clock: Clock
) -> None:
    for number in range(6):
        enter(f"a{number}")
    clock.pass_(GRACE)
    for number in range(3):
        enter(f"a{number}")
    clock.pass_(GRACE)
    assert caplog.text.count("closed a connection from a without an association: too-many-from-address") == 1
    assert counters.connections_dropped["too-many-from-address"] == 6


def test_one_that_can_not_be_closed_keeps_no_other_from_going(
    enter: Enter, room: WaitingRoom, clock: Clock, closed: list[str]
) -> None:
    def fails() -> None:
        raise KeyError("close")

    room.enter("a", fails, lambda: -1)
    for number in range(5):
        enter(f"a{number}")
    with pytest.raises(KeyError):
        clock.pass_(GRACE + 1)
    clock.pass_(GRACE + 1)
    assert closed == ["a0", "a1"]
