"""Who may publish which events, and who hears them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dimse_mesh.nats_server.permissions import permissions_of, permissions_of_listener, permissions_of_monitor
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.event_subjects import event_subject
from dimse_mesh.schemas.events import EventKind
from tests.unit.nats_server.test_permissions import CLOUD, covers, may_publish

WITH_EVENTS = replace(CLOUD, has_events=True)
TELLERS = {
    EventKind.ASSOCIATION_OPENED: Role.ASSOCIATION,
    EventKind.ASSOCIATION_ENDED: Role.ASSOCIATION,
    EventKind.ASSOCIATION_REJECTED: Role.ASSOCIATION,
    EventKind.OBJECT_STORED: Role.SCU,
}


def told(zone: str, kind: EventKind, role: Role) -> str:
    """Return where a service of the cloud tells of another zone, or its own."""
    return event_subject("DIMSE", zone, kind, InstanceAddress("cloud", role, "x"))


@pytest.mark.parametrize("role", Role)
def test_each_kind_is_told_by_one_role_of_its_own_zone(role: Role) -> None:
    for kind in EventKind:
        assert may_publish(WITH_EVENTS, role, told("cloud", kind, role)) == (TELLERS[kind] is role)
        assert not may_publish(WITH_EVENTS, role, told("hospital", kind, role))
        assert not may_publish(CLOUD, role, told("cloud", kind, role))


def test_the_user_of_a_zone_hears_its_events_and_nothing_else() -> None:
    heard = permissions_of_listener(WITH_EVENTS).subscribe
    for kind in EventKind:
        for zone in ("cloud", "hospital"):
            subject = told(zone, kind, Role.SCU)
            assert any(covers(pattern, subject) for pattern in heard) == (zone == "cloud")
    assert all(pattern.startswith(("DIMSE.event.cloud.", "_EVENTS.cloud.")) for pattern in heard)
    assert permissions_of_listener(WITH_EVENTS).publish == ("_EVENTS.cloud.>",)


def test_nobody_else_hears_events() -> None:
    every = [permissions_of(WITH_EVENTS, role) for role in Role] + [permissions_of_monitor("DIMSE")]
    for permissions in every:
        assert not any(".event." in pattern for pattern in permissions.subscribe)
