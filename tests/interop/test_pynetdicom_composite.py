"""pynetdicom as SCU and SCP of every composite (C-*) service class that it knows, through two zones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_role, evt, sop_class
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from tests.support import pynet
from tests.support.mesh import Ae
from tests.support.way import Way
from tests.support.wire import CT_STORAGE, VERIFICATION

SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
STORAGE = sorted({**sop_class._STORAGE_CLASSES, **sop_class._NON_PATIENT_OBJECT_CLASSES}.values())
QUERY_CLASSES = {
    name: uid
    for classes in (
        sop_class._QR_CLASSES,
        sop_class._BASIC_WORKLIST_CLASSES,
        sop_class._COLOR_PALETTE_CLASSES,
        sop_class._DEFINED_PROCEDURE_CLASSES,
        sop_class._HANGING_PROTOCOL_CLASSES,
        sop_class._IMPLANT_TEMPLATE_CLASSES,
        sop_class._INVENTORY_CLASSES,
        sop_class._PROTOCOL_APPROVAL_CLASSES,
        sop_class._RELEVANT_PATIENT_QUERY_CLASSES,
        sop_class._SUBSTANCE_ADMINISTRATION_CLASSES,
        {"UnifiedProcedureStepPull": sop_class._UNIFIED_PROCEDURE_STEP_CLASSES["UnifiedProcedureStepPull"]},
    )
    for name, uid in classes.items()
}
GET = sorted(name for name in QUERY_CLASSES if name.endswith("Get"))
MOVE = sorted(name for name in QUERY_CLASSES if name.endswith("Move"))
FIND = sorted(set(QUERY_CLASSES) - set(GET) - set(MOVE) - {"RepositoryQuery"})


def image(number: int, uid: str = CT_STORAGE) -> Dataset:
    """Return a small data set."""
    item = Dataset()
    item.SOPClassUID = uid
    item.SOPInstanceUID = f"1.2.826.0.1.3680043.9.9999.3.{number}"
    item.PatientID = "MESH"
    item.InstanceNumber = number
    item.ensure_file_meta()
    assert item.file_meta is not None
    item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return item


def query() -> Dataset:
    """Return an identifier."""
    item = Dataset()
    item.QueryRetrieveLevel = "PATIENT"
    item.PatientID = "*"
    return item


def answers(count: int = 3) -> Iterator[Dataset]:
    """Yield identifiers of matches."""
    for number in range(count):
        item = query()
        item.PatientID = f"MATCH{number}"
        yield item


@pytest.mark.parametrize("start", range(0, len(STORAGE), 60))
def test_every_storage_class_is_stored(way: Way, cloud_ae: Ae, start: int) -> None:
    uids = STORAGE[start : start + 60]
    got: list[Dataset] = []

    def store(event: Event) -> int:
        got.append(event.dataset)
        return 0xB007 if event.dataset.InstanceNumber % 7 == 0 else 0

    server = pynet.entity(cloud_ae.title)
    client = pynet.entity("PYNETSCU")
    for uid in uids:
        client.add_requested_context(uid, SYNTAXES)
    with (
        pynet.scp(
            server, [(evt.EVT_C_STORE, store)], port=cloud_ae.port, contexts=[(uid, SYNTAXES) for uid in uids]
        ),
        pynet.scu(client, way.entry(cloud_ae), called=cloud_ae.title) as assoc,
    ):
        assert len(assoc.accepted_contexts) == len(uids)
        sent = [image(number, uid) for number, uid in enumerate(uids, 1)]
        statuses = [assoc.send_c_store(item).Status for item in sent]
    assert got == sent
    assert statuses == [0xB007 if number % 7 == 0 else 0 for number in range(1, len(uids) + 1)]


@pytest.mark.parametrize("name", FIND)
def test_find_of_every_query_class(way: Way, cloud_ae: Ae, name: str) -> None:
    uid = QUERY_CLASSES[name]
    asked: list[Dataset] = []
    # PS3.4 annex Q: a relevant patient information query has one match at most.
    count = 1 if name in sop_class._RELEVANT_PATIENT_QUERY_CLASSES else 3

    def find(event: Event) -> Iterator[tuple[int, Dataset | None]]:
        asked.append(event.identifier)
        for item in answers(count):
            yield 0xFF00, item

    client = pynet.entity("PYNETSCU")
    client.add_requested_context(uid, SYNTAXES)
    with (
        pynet.scp(
            pynet.entity(cloud_ae.title),
            [(evt.EVT_C_FIND, find)],
            port=cloud_ae.port,
            contexts=[(uid, SYNTAXES)],
        ),
        pynet.scu(client, way.entry(cloud_ae), called=cloud_ae.title) as assoc,
    ):
        assert assoc.is_established
        responses = list(assoc.send_c_find(query(), uid, msg_id=77))
    assert asked == [query()]
    assert [item for _, item in responses] == [*answers(count), None]
    assert [status.Status for status, _ in responses] == [0xFF00] * count + [0]


@pytest.mark.parametrize("name", GET)
def test_get_of_every_query_class_keeps_failures_and_warnings(way: Way, cloud_ae: Ae, name: str) -> None:
    uid = QUERY_CLASSES[name]
    got: list[Dataset] = []

    def get(_: Event) -> Iterator[object]:
        yield 4
        for number in range(1, 5):
            yield 0xFF00, image(number)

    def store(event: Event) -> int:
        got.append(event.dataset)
        return {2: 0xB000, 3: 0xA700}.get(int(event.dataset.InstanceNumber), 0)

    client = pynet.entity("PYNETSCU")
    client.add_requested_context(uid, SYNTAXES)
    client.add_requested_context(CT_STORAGE, SYNTAXES)
    with (
        pynet.scp(
            pynet.entity(cloud_ae.title),
            [(evt.EVT_C_GET, get)],
            port=cloud_ae.port,
            contexts=[(uid, SYNTAXES), (CT_STORAGE, SYNTAXES)],
        ),
        pynet.scu(
            client,
            way.entry(cloud_ae),
            called=cloud_ae.title,
            handlers=[(evt.EVT_C_STORE, store)],
            ext_neg=[build_role(CT_STORAGE, scp_role=True)],
        ) as assoc,
    ):
        assert assoc.is_established
        responses = list(assoc.send_c_get(query(), uid))
    assert [item.InstanceNumber for item in got] == [1, 2, 3, 4]
    final = responses[-1][0]
    assert (
        final.NumberOfCompletedSuboperations,
        final.NumberOfWarningSuboperations,
        final.NumberOfFailedSuboperations,
    ) == (2, 1, 1)
    assert final.Status == 0xB000


@pytest.mark.parametrize("name", MOVE)
def test_move_of_every_query_class_arrives_in_the_other_zone(
    way: Way, cloud_ae: Ae, hospital_ae: Ae, name: str
) -> None:
    uid = QUERY_CLASSES[name]
    got: list[tuple[int, str]] = []

    def move(_: Event) -> Iterator[object]:
        yield "127.0.0.1", way.entry(hospital_ae), {"contexts": contexts}
        yield 3
        for number in range(1, 4):
            yield 0xFF00, image(number)

    def store(event: Event) -> int:
        assert isinstance(event.request, C_STORE)
        originator = event.request.MoveOriginatorApplicationEntityTitle
        got.append((int(event.dataset.InstanceNumber), str(originator)))
        return 0

    mover = pynet.entity(cloud_ae.title)
    mover.add_requested_context(CT_STORAGE, SYNTAXES)
    contexts = list(mover.requested_contexts)
    client = pynet.entity("PYNETSCU")
    client.add_requested_context(uid, SYNTAXES)
    with (
        pynet.scp(
            pynet.entity(hospital_ae.title),
            [(evt.EVT_C_STORE, store)],
            port=hospital_ae.port,
            contexts=[(CT_STORAGE, SYNTAXES)],
        ),
        pynet.scp(mover, [(evt.EVT_C_MOVE, move)], port=cloud_ae.port, contexts=[(uid, SYNTAXES)]),
        pynet.scu(client, way.entry(cloud_ae), called=cloud_ae.title) as assoc,
    ):
        assert assoc.is_established
        responses = list(assoc.send_c_move(query(), hospital_ae.title, uid))
    # pynetdicom names itself as the originator, not who asked it to move.
    assert got == [(number, cloud_ae.title) for number in (1, 2, 3)]
    assert responses[-1][0].Status == 0
    assert responses[-1][0].NumberOfCompletedSuboperations == 3


def test_echo_both_ways(way: Way, cloud_ae: Ae, hospital_ae: Ae) -> None:
    for ae in (cloud_ae, hospital_ae):
        client = pynet.entity("PYNETSCU")
        client.add_requested_context(VERIFICATION, SYNTAXES)
        contexts = [(VERIFICATION, SYNTAXES)]
        with (
            pynet.scp(pynet.entity(ae.title), [], port=ae.port, contexts=contexts),
            pynet.scu(client, way.entry(ae), called=ae.title) as assoc,
        ):
            assert assoc.send_c_echo(msg_id=65535).Status == 0


def test_user_identity_is_the_targets_to_judge(way: Way, cloud_ae: Ae) -> None:
    seen: list[tuple[int, bytes]] = []

    def identify(event: Event) -> tuple[bool, bytes | None]:
        asked: Any = event
        seen.append((asked.user_id_type, asked.primary_field))
        return asked.primary_field == b"friend", b"token"

    def identity(user: bytes) -> UserIdentityNegotiation:
        item = UserIdentityNegotiation()
        item.user_identity_type = 2
        item.positive_response_requested = True
        item.primary_field = user
        item.secondary_field = b"secret"
        return item

    client = pynet.entity("PYNETSCU")
    client.add_requested_context(VERIFICATION, SYNTAXES)
    with pynet.scp(
        pynet.entity(cloud_ae.title),
        [(evt.EVT_USER_ID, identify)],
        port=cloud_ae.port,
        contexts=[(VERIFICATION, SYNTAXES)],
    ):
        for user, let_in in ((b"friend", True), (b"stranger", False)):
            with pynet.scu(
                client, way.entry(cloud_ae), called=cloud_ae.title, ext_neg=[identity(user)]
            ) as assoc:
                assert assoc.is_established == let_in
                assert pynet.was_rejected(assoc) != let_in
    assert seen == [(2, b"friend"), (2, b"stranger")]
