"""What a service keeps of its events while NATS is away."""

from __future__ import annotations

from collections.abc import Callable

from dimse_mesh.events import EventPublisher, event_uid
from dimse_mesh.mesh import unpack
from dimse_mesh.runtime.counters import Counters
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.events import AssociationOpened, EventKind


class Line:
    """A connection that comes and goes."""

    address = InstanceAddress("hospital", Role.ASSOCIATION, "x")

    def __init__(self) -> None:
        self.up = True
        self.sent: list[str] = []
        self._changed: list[Callable[[bool], None]] = []

    def publish(self, subject: str, payload: bytes) -> bool:
        """Take a message if the connection stands."""
        assert subject == "DIMSE.event.hospital.association_opened.hospital.association.x"
        if self.up:
            self.sent.append(unpack(AssociationOpened, payload)[0].calling_ae)
        return self.up

    def on_change(self, callback: Callable[[bool], None]) -> None:
        """Note whom to call."""
        self._changed.append(callback)

    def turn(self, up: bool) -> None:
        """Come or go."""
        self.up = up
        for callback in self._changed:
            callback(up)


def opened(name: str) -> AssociationOpened:
    """Return an event that can be told apart."""
    return AssociationOpened(
        id="0e" * 16, at=1.5, association="0f" * 16, calling_ae=name, called_ae="PACS", delivery="live"
    )


def publisher(line: Line, counters: Counters, *, most: int = 3) -> EventPublisher:
    """Return who publishes on a line."""
    return EventPublisher(line, counters, root="DIMSE", zone="hospital", max_waiting=most)


def test_what_was_said_while_nats_was_away_is_said_later_and_in_order() -> None:
    line, counters = Line(), Counters()
    events = publisher(line, counters)
    events.publish(EventKind.ASSOCIATION_OPENED, opened("A"))
    line.turn(False)
    for name in "BC":
        events.publish(EventKind.ASSOCIATION_OPENED, opened(name))
    assert line.sent == ["A"]
    line.turn(True)
    assert line.sent == ["A", "B", "C"]
    assert (counters.events_published, counters.events_lost) == (3, 0)


def test_of_too_many_the_oldest_are_lost_and_counted() -> None:
    line, counters = Line(), Counters()
    events = publisher(line, counters)
    line.turn(False)
    for name in "ABCDE":
        events.publish(EventKind.ASSOCIATION_OPENED, opened(name))
    line.turn(True)
    assert line.sent == ["C", "D", "E"]
    assert (counters.events_published, counters.events_lost) == (3, 2)


def test_a_connection_that_takes_nothing_for_a_moment_delays_an_event() -> None:
    line, counters = Line(), Counters()
    events = publisher(line, counters)
    line.up = False
    events.publish(EventKind.ASSOCIATION_OPENED, opened("A"))
    line.up = True
    events.publish(EventKind.ASSOCIATION_OPENED, opened("B"))
    assert line.sent == ["A", "B"]


def test_only_a_uid_passes_for_one() -> None:
    assert event_uid("1.2.840") == "1.2.840"
    assert [event_uid(text) for text in (None, "", "Doe^John", "1" * 65, "1.2\n")] == [""] * 5
