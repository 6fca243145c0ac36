"""Who may publish and hear what: the lists of each role, and what one zone's services publish for another's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dimse_mesh.nats_server.permissions import ZoneFacts, crossing, meeting, permissions_of
from dimse_mesh.schemas.addresses import Role
from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.schemas.spool_subjects import (
    DestinationKind,
    SpoolSubjects,
    StateKind,
    origin_spool,
    origin_stream,
    share_of,
    study_origin,
)

HOSPITAL = ZoneFacts("DIMSE", "hospital", ("MODALITY",))
CLOUD = ZoneFacts("DIMSE", "cloud", ("PA.CS",), has_default=True)
HANDLERS = (Role.STORE, Role.QUERY_RETRIEVE, Role.N_SERVICE)
FROM_OTHERS = {"live", "dead", "$SRV"}


def covers(pattern: str, subject: str) -> bool:
    """Tell whether NATS lets a permission for `pattern` pass a literal subject."""
    wanted, given = pattern.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">":
            return index < len(given)
        if index >= len(given) or token not in {"*", given[index]}:
            return False
    return len(wanted) == len(given)


def may_publish(facts: ZoneFacts, role: Role, subject: str) -> bool:
    return any(covers(pattern, subject) for pattern in permissions_of(facts, role).publish)


ALWAYS = {role: ["$JS.API.STREAM.LIST"] if role is Role.STORE else [] for role in Role}
"""What a role asks JetStream without a durable route: whether spools are left of earlier ones."""


@pytest.mark.parametrize("role", Role)
def test_every_role_publishes_as_itself_and_to_the_inboxes_of_tools(role: Role) -> None:
    for pattern in permissions_of(HOSPITAL, role).publish:
        assert pattern.endswith(f".hospital.{role.value}.*") or pattern in {"_INBOX.>", *ALWAYS[role]}


@pytest.mark.parametrize("role", Role)
def test_no_role_hears_what_is_for_another_role_or_zone(role: Role) -> None:
    for pattern in permissions_of(CLOUD, role).subscribe:
        kind = pattern.split(".")[1] if pattern.startswith("DIMSE.") else pattern.split(".")[0]
        if kind in FROM_OTHERS:
            continue
        assert pattern.startswith(f"DIMSE.i.cloud.{role.value}.") or pattern.endswith(
            (" scu", f" {role.value}")
        )


def test_executors_alone_hear_openings_and_only_of_the_aes_of_their_zone() -> None:
    heard = {role: permissions_of(CLOUD, role).subscribe for role in Role}
    assert "DIMSE.ae.PA%2ECS.open.*.*.* scu" in heard[Role.SCU]
    assert "DIMSE.zone.cloud.open.*.*.* scu" in heard[Role.SCU]
    assert not any(".open." in pattern for role in Role if role is not Role.SCU for pattern in heard[role])
    assert not any("zone" in pattern for pattern in permissions_of(HOSPITAL, Role.SCU).subscribe)


@pytest.mark.parametrize("role", Role)
def test_handlers_alone_approve_and_refuse(role: Role) -> None:
    for kind in ("op", "refused"):
        subject = f"DIMSE.i.cloud.scu.x.{kind}.hospital.{role.value}.y"
        assert may_publish(HOSPITAL, role, subject) == (role in HANDLERS)


@pytest.mark.parametrize("role", Role)
def test_endpoints_alone_send_frames_and_only_to_the_other_kind(role: Role) -> None:
    front_end = role in {Role.ASSOCIATION, Role.COMMAND}
    for kind in ("link", "data"):
        to_executor = f"DIMSE.i.cloud.scu.x.{kind}.hospital.{role.value}.y"
        to_front_end = f"DIMSE.i.cloud.association.x.{kind}.hospital.{role.value}.y"
        assert may_publish(HOSPITAL, role, to_executor) == front_end
        assert may_publish(HOSPITAL, role, to_front_end) == (role is Role.SCU)


@pytest.mark.parametrize("role", Role)
def test_slots_are_for_the_executors_of_the_same_zone(role: Role) -> None:
    for zone in ("cloud", "hospital"):
        subject = f"DIMSE.i.{zone}.scu.x.slots.hospital.{role.value}.y"
        assert may_publish(HOSPITAL, role, subject) == (role is Role.SCU and zone == "hospital")


def test_a_front_end_asks_the_handlers_of_its_own_zone_alone_an_executor_those_of_every_zone() -> None:
    for zone in ("cloud", "hospital"):
        asked = f"DIMSE.zone.{zone}.store.hospital"
        assert may_publish(HOSPITAL, Role.ASSOCIATION, f"{asked}.association.x") == (zone == "hospital")
        assert may_publish(HOSPITAL, Role.SCU, f"{asked}.scu.x")


def test_what_crosses_is_for_the_other_zone_or_for_everybody() -> None:
    subjects = crossing(HOSPITAL, CLOUD)
    assert "DIMSE.ae.PA%2ECS.open.hospital.association.*" in subjects
    assert "DIMSE.zone.cloud.open.hospital.command.*" in subjects
    assert "DIMSE.i.cloud.scu.*.op.hospital.store.*" in subjects
    for subject in subjects:
        tokens = subject.split(".")
        assert tokens[-3] == "hospital"
        assert tokens[1] in {"live", "dead", "ae"} or tokens[2] == "cloud"
        assert "slots" not in tokens
    assert not any(".open." in subject for subject in crossing(CLOUD, HOSPITAL) if ".zone." in subject)


def test_zones_of_different_subject_roots_have_nothing_to_say_to_each_other() -> None:
    assert crossing(HOSPITAL, ZoneFacts("OTHER", "cloud", ("PACS",))) == ()


SPOOL = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, "PA.CS")


def test_a_spool_is_written_by_its_zone_and_read_by_the_zone_of_its_destination() -> None:
    source, destination = meeting([replace(HOSPITAL, spools=(SPOOL,)), CLOUD])
    assert CLOUD.is_for(SPOOL)
    assert not HOSPITAL.is_for(SPOOL)
    chunk, manifest = SPOOL.chunk("1f"), SPOOL.object(calling_ae="CT", study="2e")
    read = f"$JS.API.DIRECT.GET.{SPOOL.stream}"
    remove = f"$JS.API.STREAM.MSG.DELETE.{SPOOL.stream}"
    receipt = SPOOL.receipt("1.2.3")
    read_receipts = f"$JS.API.DIRECT.GET.{SPOOL.receipt_stream}"
    for role in Role:
        assert may_publish(source, role, receipt) == (role is Role.COMMAND)
        assert may_publish(source, role, read_receipts) == (role is Role.ASSOCIATION)
        assert may_publish(destination, role, receipt) == (role is Role.DELIVERY)
        assert not may_publish(destination, role, read_receipts)
        writes = role in {Role.ASSOCIATION, Role.COMMAND}
        assert may_publish(source, role, chunk) == may_publish(source, role, manifest) == writes
        assert may_publish(source, role, remove) == (role is Role.COMMAND)
        assert may_publish(source, role, read) == (role in {Role.COMMAND, Role.STORE})
        assert may_publish(source, role, SPOOL.acknowledged("w")) == writes
        assert not may_publish(destination, role, SPOOL.acknowledged("w"))
        assert not may_publish(destination, role, chunk)
        assert not may_publish(destination, role, manifest)
        delivers = role is Role.DELIVERY
        assert may_publish(destination, role, read) == may_publish(destination, role, remove) == delivers
        assert (SPOOL.spooled in permissions_of(destination, role).subscribe) == delivers
        for facts in (HOSPITAL, CLOUD):  # without a durable route
            asked = [one for one in permissions_of(facts, role).publish if one.startswith("$JS")]
            assert asked == ALWAYS[role]


def test_shared_pieces_are_read_by_the_zones_that_share_them_and_removed_by_none_of_them() -> None:
    other, stranger = SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, "OTHER"), "STRANGER"
    share = share_of((SPOOL, other))
    apart = share_of((SPOOL, SpoolSubjects("DIMSE", "hospital", DestinationKind.AE, stranger)))
    zones = [
        replace(HOSPITAL, spools=(SPOOL, other), shares=(share, apart)),
        CLOUD,
        ZoneFacts("DIMSE", "depot", ("OTHER",)),
        ZoneFacts("DIMSE", "afar", (stranger,)),
    ]
    source, *readers = meeting(zones)
    api = "$JS.API"
    for reader, reads in zip(readers, (True, True, False), strict=True):
        for role in Role:
            may = reads and role is Role.DELIVERY
            assert may_publish(reader, role, f"{api}.DIRECT.GET.{share.spool.stream}") == may
            assert may_publish(reader, role, share.spool.released("1f")) == may
            for verb in ("STREAM.PURGE", "STREAM.MSG.DELETE", "STREAM.INFO", "STREAM.UPDATE"):
                assert not may_publish(reader, role, f"{api}.{verb}.{share.spool.stream}")
            assert not may_publish(reader, role, share.spool.chunk("1f"))
            assert not may_publish(reader, role, SPOOL.reference("1f"))
    for role in Role:
        writes = role in {Role.ASSOCIATION, Role.COMMAND}
        assert may_publish(source, role, share.spool.chunk("1f")) == writes
        assert may_publish(source, role, SPOOL.reference("1f")) == (role is Role.ASSOCIATION)
        removes = f"{api}.STREAM.PURGE.{share.spool.stream}"
        assert may_publish(source, role, removes) == (role in {Role.STORE, Role.COMMAND})


def test_what_waits_for_hooks_is_its_own_zones_alone() -> None:
    before = SPOOL.before_hooks
    assert before.behind_hooks == SPOOL
    assert HOSPITAL.is_for(before)
    assert not CLOUD.is_for(before)
    source, destination = meeting([replace(HOSPITAL, spools=(before, SPOOL)), CLOUD])
    read = f"$JS.API.DIRECT.GET.{before.stream}"
    for role in Role:
        assert not may_publish(destination, role, read)
        assert may_publish(source, role, read) == (role in {Role.COMMAND, Role.STORE, Role.DELIVERY})
        writes = role in {Role.ASSOCIATION, Role.COMMAND, Role.DELIVERY}
        assert may_publish(source, role, SPOOL.chunk("1f")) == writes
    assert not may_publish(source, Role.DELIVERY, before.object(calling_ae="CT", study="2e"))
    assert not may_publish(source, Role.DELIVERY, f"$JS.API.DIRECT.GET.{SPOOL.stream}")


def test_where_studies_came_from_is_noted_and_read_in_the_own_zone_alone() -> None:
    waits = origin_spool("DIMSE", "hospital")
    source, other = meeting([replace(HOSPITAL, spools=(waits, SPOOL)), CLOUD])
    note = study_origin("DIMSE", "hospital", study="2e", source="cloud")
    read = f"$JS.API.DIRECT.GET.{origin_stream('DIMSE', 'hospital')}"
    for role in Role:
        assert may_publish(source, role, note) == (role in {Role.DELIVERY, Role.SCU})
        assert may_publish(source, role, read) == (role is Role.DELIVERY)
        assert not may_publish(other, role, note)
        assert not may_publish(other, role, read)
        assert not may_publish(other, role, f"$JS.API.DIRECT.GET.{waits.stream}")
        assert not any(
            pattern.startswith("DIMSE.origin") for pattern in permissions_of(HOSPITAL, role).publish
        )
    assert may_publish(source, Role.DELIVERY, SPOOL.object(calling_ae="AI", study="2e"))


def test_what_crosses_for_a_durable_route_is_what_a_delivery_needs() -> None:
    source = replace(HOSPITAL, spools=(SPOOL,), domain="ward")
    before = {*crossing(HOSPITAL, CLOUD), *crossing(CLOUD, HOSPITAL)}
    out, back = set(crossing(source, CLOUD)) - before, set(crossing(CLOUD, source)) - before
    assert out == {SPOOL.spooled, SPOOL.state(StateKind.PAUSE), "DIMSE.i.cloud.delivery.*.jetstream.*.*"}
    api = "$JS.ward.API"
    assert {subject for subject in back if not subject.startswith("$JS")} == {
        SPOOL.failed(),
        SPOOL.receipt(None),
        SPOOL.state(StateKind.STATUS),
        SPOOL.state(StateKind.PROGRESS),
    }
    assert {subject for subject in back if subject.startswith("$JS")} == {
        f"{api}.STREAM.NAMES",
        f"{api}.DIRECT.GET.{SPOOL.receipt_stream}.{SPOOL.receipt(None)}",
        f"{api}.STREAM.INFO.{SPOOL.stream}",
        f"{api}.STREAM.PURGE.{SPOOL.stream}",
        f"{api}.STREAM.MSG.DELETE.{SPOOL.stream}",
        f"{api}.STREAM.MSG.GET.{SPOOL.stream}",
        f"{api}.DIRECT.GET.{SPOOL.stream}",
        f"{api}.DIRECT.GET.{SPOOL.stream}.>",
        f"{api}.DIRECT.GET.{SPOOL.state_stream}.{SPOOL.state(StateKind.PAUSE)}",
    }
    (_, destination) = meeting([source, CLOUD])
    assert back <= set(permissions_of(destination, Role.DELIVERY).publish)


def test_an_endpoint_that_hosts_handlers_has_their_permissions_and_no_more() -> None:
    hosting = replace(HOSPITAL, hosted={Role.ASSOCIATION: (ServiceName.STORE,)})
    both = permissions_of(HOSPITAL, Role.ASSOCIATION) | permissions_of(HOSPITAL, Role.STORE)
    assert permissions_of(hosting, Role.ASSOCIATION) == both
    for role in set(Role) - {Role.ASSOCIATION}:
        assert permissions_of(hosting, role) == permissions_of(HOSPITAL, role)
    assert crossing(hosting, CLOUD) == crossing(HOSPITAL, CLOUD)
