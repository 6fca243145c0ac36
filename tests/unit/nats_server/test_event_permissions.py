"""Who may publish which events, and who hears them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dimse_mesh.nats_server.permissions import (
    crossing,
    meeting,
    permissions_of,
    permissions_of_listener,
    permissions_of_monitor,
)
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.event_subjects import event_subject
from dimse_mesh.schemas.events import EventKind
from dimse_mesh.schemas.spool_subjects import DestinationKind, SpoolSubjects
from tests.unit.nats_server.test_permissions import CLOUD, HOSPITAL, covers, may_publish

WITH_EVENTS = replace(CLOUD, has_events=True)
OF_OWN_ZONE = {
    EventKind.ASSOCIATION_OPENED: {Role.ASSOCIATION},
    EventKind.ASSOCIATION_ENDED: {Role.ASSOCIATION},
    EventKind.ASSOCIATION_REJECTED: {Role.ASSOCIATION},
    EventKind.OBJECT_ACCEPTED: {Role.ASSOCIATION},
    EventKind.COMMITMENT_REPORTED: {Role.ASSOCIATION},
    EventKind.OBJECT_STORED: {Role.SCU, Role.DELIVERY},
    EventKind.STUDY_QUIET: {Role.STORE},
    EventKind.OBJECT_DELIVERED: set(),
    EventKind.OBJECT_FAILED: set(),
}
SETTLED = {EventKind.OBJECT_DELIVERED, EventKind.OBJECT_FAILED}


def told(zone: str, kind: EventKind, role: Role) -> str:
    """Return where a service of the cloud tells of another zone, or its own."""
    return event_subject("DIMSE", zone, kind, InstanceAddress("cloud", role, "x"))


@pytest.mark.parametrize("role", Role)
def test_each_kind_is_told_by_few_roles_of_its_own_zone(role: Role) -> None:
    for kind, tellers in OF_OWN_ZONE.items():
        assert may_publish(WITH_EVENTS, role, told("cloud", kind, role)) == (role in tellers)
        assert not may_publish(WITH_EVENTS, role, told("hospital", kind, role))
        assert not may_publish(CLOUD, role, told("cloud", kind, role))


@pytest.mark.parametrize("has_events", [True, False])
def test_a_delivery_service_tells_the_zone_that_keeps_the_objects_what_becomes_of_them(
    has_events: bool,
) -> None:
    spool = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, "PA.CS")
    hospital, cloud = meeting([replace(HOSPITAL, spools=(spool,), has_events=has_events), CLOUD])
    for role in Role:
        for kind in EventKind:
            subject = told("hospital", kind, role)
            expected = has_events and role is Role.DELIVERY and kind in SETTLED
            assert may_publish(cloud, role, subject) == expected
            assert any(covers(pattern, subject) for pattern in crossing(cloud, hospital)) == expected


def test_the_user_of_a_zone_hears_its_events_and_nothing_else() -> None:
    heard = permissions_of_listener(WITH_EVENTS).subscribe
    for kind in EventKind:
        for zone in ("cloud", "hospital"):
            subject = told(zone, kind, Role.SCU)
            assert any(covers(pattern, subject) for pattern in heard) == (zone == "cloud")
    assert all(pattern.startswith(("DIMSE.event.cloud.", "_EVENTS.cloud.")) for pattern in heard)
    assert permissions_of_listener(WITH_EVENTS).publish == ("_EVENTS.cloud.>",)


def test_it_may_read_its_zones_stream_and_do_nothing_else_with_it() -> None:
    spool = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, "PA.CS")
    hospital = replace(HOSPITAL, spools=(spool,), has_events=True)
    assert permissions_of_listener(hospital).publish == (
        "_EVENTS.hospital.>",
        "$JS.API.DIRECT.GET.DIMSE~hospital~events",
    )


def test_nobody_else_hears_events_but_who_follows_studies_and_who_fetches_priors() -> None:
    every = {role.value: permissions_of(WITH_EVENTS, role) for role in Role}
    every["monitor"] = permissions_of_monitor("DIMSE")
    hearing = {name for name, one in every.items() if any(".event." in subject for subject in one.subscribe)}
    assert hearing == {"store", "command"}
    assert all(
        subject.startswith("DIMSE.event.cloud.")
        for name in hearing
        for subject in every[name].subscribe
        if ".event." in subject
    )
