"""The handshake of an association: who gets one, and that it is bound to what it travels with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dimse_mesh.encryption import EncryptionError, Protection
from dimse_mesh.encryption.associations import AssociationEncryption
from dimse_mesh.encryption.keys import write_key
from dimse_mesh.schemas.addresses import HalfAddress, InstanceAddress, Role
from dimse_mesh.schemas.association import OpenRequest
from dimse_mesh.schemas.frames import FrameKind
from tests.support.encryption import FolderKeys

FRONT = HalfAddress(InstanceAddress("hospital", Role.ASSOCIATION, "f1"), 7)
EXECUTOR = HalfAddress(InstanceAddress("cloud", Role.SCU, "e1"), 9)
RQ, AC = b"A-ASSOCIATE-RQ", b"A-ASSOCIATE-AC"
REQUEST = OpenRequest(
    association="a1", channel=7, called_ae="PACS", calling_ae="CT1", delivery="live", window=1000, deadline=5
)


@dataclass(frozen=True, slots=True)
class Zones:
    """Two zones that know each other."""

    hospital: AssociationEncryption
    cloud: AssociationEncryption


@pytest.fixture
def zones(tmp_path: Path) -> Zones:
    texts = {zone: write_key(tmp_path / zone / "1.key").public.text for zone in ("hospital", "cloud")}

    def of(zone: str) -> AssociationEncryption:
        others: dict[str, Sequence[str] | Path] = {
            other: [text] for other, text in texts.items() if other != zone
        }
        return AssociationEncryption(FolderKeys(zone, tmp_path / zone, others), required=False)

    return Zones(of("hospital"), of("cloud"))


def offered(zones: Zones, request: OpenRequest = REQUEST) -> OpenRequest:
    made = zones.hospital.offer(request, RQ, FRONT, to_zone=None, required=False)
    return request.model_copy(update={"encryption": made.offers})


def opened(zones: Zones) -> tuple[Protection, Protection]:
    made = zones.hospital.offer(REQUEST, RQ, FRONT, to_zone="cloud", required=True)
    taken = zones.cloud.take(REQUEST.model_copy(update={"encryption": made.offers}), RQ, FRONT)
    assert taken is not None
    there, message = taken.answer(EXECUTOR, AC)
    here = zones.hospital.settle(made, message, EXECUTOR, AC, required=True)
    assert here is not None
    return here, there


def test_each_side_opens_what_the_other_seals(zones: Zones) -> None:
    here, there = opened(zones)
    for one, other in ((here, there), (there, here)):
        sealed = one.seal(FrameKind.DATA, 5, context_id=3, secret=b"patient")
        assert b"patient" not in sealed
        assert other.open(FrameKind.DATA, 5, context_id=3, sealed=sealed) == b"patient"
        with pytest.raises(EncryptionError):  # reflected
            one.open(FrameKind.DATA, 5, context_id=3, sealed=sealed)


def test_an_association_to_no_zone_in_particular_is_offered_to_all(zones: Zones) -> None:
    assert set(offered(zones).encryption) == {"cloud", "hospital"}


@pytest.mark.parametrize(
    "change",
    [
        {"association": "a2"},
        {"called_ae": "OTHER"},
        {"calling_ae": "OTHER"},
        {"delivery": "durable"},
        {"encryption": {}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_opening_that_was_changed_on_its_way_is_refused(zones: Zones, change: dict[str, object]) -> None:
    request = offered(zones).model_copy(update=change)
    with pytest.raises(EncryptionError):
        zones.cloud.take(request, RQ, FRONT)


@pytest.mark.parametrize(
    "front_end",
    [
        HalfAddress(FRONT.instance, 8),
        HalfAddress(FRONT.instance._replace(instance="f2"), 7),
        HalfAddress(FRONT.instance._replace(zone="cloud"), 7),
    ],
)
def test_an_opening_counts_for_the_front_end_that_has_made_it(zones: Zones, front_end: HalfAddress) -> None:
    with pytest.raises(EncryptionError):
        zones.cloud.take(offered(zones), RQ, front_end)


def test_the_clients_pdu_cannot_be_changed(zones: Zones) -> None:
    with pytest.raises(EncryptionError):
        zones.cloud.take(offered(zones), b"A-ASSOCIATE-RQ'", FRONT)


@pytest.mark.parametrize(
    ("executor", "pdu"),
    [
        (HalfAddress(EXECUTOR.instance, 10), AC),
        (HalfAddress(EXECUTOR.instance._replace(instance="e2"), 9), AC),
        (HalfAddress(EXECUTOR.instance._replace(zone="hospital"), 9), AC),
        (HalfAddress(EXECUTOR.instance._replace(zone="nowhere"), 9), AC),
        (EXECUTOR, b"another"),
    ],
)
def test_the_answer_counts_for_its_executor_and_its_pdu(
    zones: Zones, executor: HalfAddress, pdu: bytes
) -> None:
    made = zones.hospital.offer(REQUEST, RQ, FRONT, to_zone=None, required=False)
    taken = zones.cloud.take(REQUEST.model_copy(update={"encryption": made.offers}), RQ, FRONT)
    assert taken is not None
    _, message = taken.answer(EXECUTOR, AC)
    with pytest.raises(EncryptionError):
        zones.hospital.settle(made, message, executor, pdu, required=False)


def test_an_answer_without_encryption_is_refused(zones: Zones) -> None:
    made = zones.hospital.offer(REQUEST, RQ, FRONT, to_zone=None, required=False)
    with pytest.raises(EncryptionError) as missing:
        zones.hospital.settle(made, "", EXECUTOR, AC, required=False)
    assert missing.value.code == "encryption-missing"


ELSEWHERE = HalfAddress(InstanceAddress("elsewhere", Role.SCU, "e1"), 9)


def test_a_zone_without_a_key_gets_plain_associations_unless_that_is_forbidden(zones: Zones) -> None:
    made = zones.hospital.offer(REQUEST, RQ, FRONT, to_zone="elsewhere", required=False)
    assert made.offers == {}
    assert zones.hospital.settle(made, "", ELSEWHERE, AC, required=False) is None
    with pytest.raises(EncryptionError):
        zones.hospital.settle(made, "", ELSEWHERE, AC, required=True)
    with pytest.raises(EncryptionError):
        zones.hospital.offer(REQUEST, RQ, FRONT, to_zone="elsewhere", required=True)
    strict = replace(zones.hospital, required=True)
    for attempt in _attempts(strict):
        with pytest.raises(EncryptionError):
            attempt()


def _attempts(strict: AssociationEncryption) -> list[Callable[[], object]]:
    front_end = HalfAddress(InstanceAddress("elsewhere", Role.ASSOCIATION, "f1"), 7)
    return [
        lambda: strict.offer(REQUEST, RQ, FRONT, to_zone="elsewhere", required=False),
        lambda: strict.take(REQUEST, RQ, front_end),
    ]


def test_a_plain_opening_from_a_zone_without_a_key_passes(zones: Zones) -> None:
    front_end = HalfAddress(InstanceAddress("elsewhere", Role.ASSOCIATION, "f1"), 7)
    assert zones.cloud.take(REQUEST, RQ, front_end) is None


def test_one_offer_may_be_answered_by_two_executors(zones: Zones) -> None:
    made = zones.hospital.offer(REQUEST, RQ, FRONT, to_zone="cloud", required=True)
    request = REQUEST.model_copy(update={"encryption": made.offers})
    sealed = set()
    for _ in range(2):
        taken = zones.cloud.take(request, RQ, FRONT)
        assert taken is not None
        there, message = taken.answer(EXECUTOR, AC)
        here = zones.hospital.settle(made, message, EXECUTOR, AC, required=True)
        assert here is not None
        sealed.add(here.seal(FrameKind.DATA, 0, secret=b"x"))
        assert there.open(FrameKind.DATA, 0, sealed=here.seal(FrameKind.DATA, 0, secret=b"x")) == b"x"
    assert len(sealed) == 2


def test_keys_change_hands_without_a_gap(tmp_path: Path) -> None:
    """docs/encryption.md, "New keys": each step leaves the zones able to talk."""
    hospital, cloud = tmp_path / "hospital", tmp_path / "cloud"
    old, other = write_key(hospital / "1.key"), write_key(cloud / "1.key")

    def talk(known_to_cloud: list[str]) -> None:
        zones = Zones(
            AssociationEncryption(FolderKeys("hospital", hospital, {"cloud": [other.public.text]}), False),
            AssociationEncryption(FolderKeys("cloud", cloud, {"hospital": known_to_cloud}), False),
        )
        opened(zones)
        opened_back(zones)

    talk([old.public.text])
    new = write_key(hospital / "2.next")
    talk([old.public.text])
    talk([new.public.text, old.public.text])
    (hospital / "2.next").rename(hospital / "2.key")
    talk([new.public.text, old.public.text])
    talk([new.public.text])
    (hospital / "1.key").unlink()
    talk([new.public.text])


def opened_back(zones: Zones) -> None:
    front = HalfAddress(InstanceAddress("cloud", Role.ASSOCIATION, "f1"), 7)
    made = zones.cloud.offer(REQUEST, RQ, front, to_zone="hospital", required=True)
    assert zones.hospital.take(REQUEST.model_copy(update={"encryption": made.offers}), RQ, front) is not None
