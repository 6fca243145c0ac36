"""The audit trail of a destination's zone says what was delivered there, to whom, and when that couldn't be had."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.durable.operator import numbers
from tests.durable.site import ARCHIVE, Inbox, site, store
from tests.support.audit import Told, messages_in
from tests.support.files import synthetic
from tests.support.scripted import ServerPeer
from tests.support.wire import CT_STORAGE, Tag, response

QUICK = {
    "retry": {"first": 0.1, "longest": 0.2},
    "look_interval": 0.3,
    "idle_time": 0.5,
}


def test_deliveries_are_reported_in_the_zone_of_their_destination(tmp_path: Path) -> None:
    trail, inbox = tmp_path / "trail", Inbox()
    with site(tmp_path, cloud={"delivery": QUICK, "audit": {"directory": str(trail)}}) as where:

        def told(event: str) -> list[Told]:
            return [each for each in map(Told, messages_in(trail)) if each.event == event]

        with where.open(calling="CT7") as client:
            for number in (1, 2):
                assert store(client, synthetic(number, 2_000), number) == 0
        where.wait_until(lambda: len(told("User Authentication/Login")) == 1, "that it isn't there is told")
        with where.destination_of(takes_one_object_in_all()):
            where.wait_until(lambda: numbers(where)["waiting"] == 1, "an object is delivered")
        with where.destination(inbox):
            where.wait_until(lambda: numbers(where)["waiting"] == 0, "all is delivered")
            where.wait_until(
                lambda: any(each.why == "released" for each in told("User Authentication/Logout")),
                "the association was released",
            )
        logins = told("User Authentication/Login")
        stood = [each for each in logins if each.outcome == "0"]
        assert [each.why for each in logins[: logins.index(stood[0])]] == ["connection-refused"]
        for each in stood:
            assert each.users[:2] == ["CT7", ARCHIVE]
        transfers = told("DICOM Instances Transferred")
        assert sum(counted(each) for each in transfers) == 2
        ends = [each.why for each in told("User Authentication/Logout")]
        assert len(ends) == len(stood)
        assert ends[-1] == "released"


def counted(told: Told) -> int:
    """Return how many CT images a record tells of."""
    return int(told.root.xpath(f"number(//SOPClass[@UID='{CT_STORAGE}']/@NumberOfInstances)"))


def takes_one_object_in_all() -> Callable[[ServerPeer], None]:
    """Return a destination that takes one object, closes the connection at the next one, and lets nobody in then."""
    taken: list[str] = []

    def script(peer: ServerPeer) -> None:
        if taken:
            return
        peer.accept_association()
        message = peer.receive_message()
        taken.append(message.text(Tag.AFFECTED_SOP_INSTANCE))
        peer.send_message(response(message))
        peer.receive()

    return script
