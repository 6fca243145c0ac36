"""pynetdicom as SCU and SCP of every normalised (N-*) service class that it knows, through two zones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import build_role, evt, register_uid, sop_class
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.service_class_n import UnifiedProcedureStepServiceClass

from tests.support import pynet
from tests.support.mesh import Ae
from tests.support.way import Way

SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
INSTANCE = "1.2.826.0.1.3680043.9.9999.6.1"
PRIVATE = "1.2.826.0.1.3680043.9.9999.77.5"
ALL = ("N-CREATE", "N-SET", "N-GET", "N-ACTION", "N-DELETE", "N-EVENT-REPORT")
MPPS = "ModalityPerformedProcedureStep"
COMMITMENT = sop_class._STORAGE_COMMITMENT_CLASSES["StorageCommitmentPushModel"]

SERVICES: dict[str, tuple[str, tuple[str, ...]]] = {
    "MPPS": (sop_class._PROCEDURE_STEP_CLASSES[MPPS], ("N-CREATE", "N-SET")),
    "MPPS retrieve": (sop_class._PROCEDURE_STEP_CLASSES[f"{MPPS}Retrieve"], ("N-GET",)),
    "MPPS notification": (sop_class._PROCEDURE_STEP_CLASSES[f"{MPPS}Notification"], ("N-EVENT-REPORT",)),
    "storage commitment": (COMMITMENT, ("N-ACTION", "N-EVENT-REPORT")),
    "instance availability": (
        sop_class._INSTANCE_AVAILABILITY_CLASSES["InstanceAvailabilityNotification"],
        ("N-CREATE",),
    ),
    "media creation": (
        sop_class._MEDIA_CREATION_CLASSES["MediaCreationManagement"],
        ("N-CREATE", "N-GET", "N-ACTION"),
    ),
    "display system": (sop_class._DISPLAY_SYSTEM_CLASSES["DisplaySystem"], ("N-GET",)),
    **{
        f"print: {name}": (uid, ALL)
        for name, uid in sop_class._PRINT_MANAGEMENT_CLASSES.items()
        if "Meta" not in name
    },
    **{
        f"UPS: {name}": (uid, tuple(kind for kind in ALL if kind != "N-DELETE"))
        for name, uid in sop_class._UNIFIED_PROCEDURE_STEP_CLASSES.items()
    },
    **{
        f"event logging: {name}": (uid, ("N-ACTION",))
        for name, uid in sop_class._APPLICATION_EVENT_CLASSES.items()
    },
    **{f"RT: {name}": (uid, ALL) for name, uid in sop_class._RT_MACHINE_VERIFICATION_CLASSES.items()},
    **{
        f"storage management: {name}": (uid, ("N-ACTION", "N-EVENT-REPORT"))
        for name, uid in sop_class._STORAGE_MANAGEMENT_CLASSES.items()
    },
    "private": (PRIVATE, tuple(kind for kind in ALL if kind != "N-DELETE")),
}


@pytest.fixture(scope="module", autouse=True)
def private_class() -> None:
    """Teach pynetdicom a private SOP class."""
    register_uid(PRIVATE, "PrivateProcedure", UnifiedProcedureStepServiceClass)


def attributes(text: str) -> Dataset:
    """Return an attribute list with a sequence in it."""
    step = Dataset()
    step.Modality = "CT"
    step.ScheduledProcedureStepDescription = text
    item = Dataset()
    item.PatientID = "MESH"
    item.PerformedProcedureStepStatus = "IN PROGRESS"
    item.ScheduledStepAttributesSequence = [step]
    return item


Seen = list[tuple[str, str, int | None, Dataset | None]]


def handlers(seen: Seen) -> list[pynet.Handler]:
    """Return handlers that note what was asked and answer with an attribute list."""

    def note(kind: str, event: Event, number: int | None, item: Dataset | None) -> tuple[int, Dataset | None]:
        instance = getattr(event.request, "AffectedSOPInstanceUID", None) or getattr(
            event.request, "RequestedSOPInstanceUID", None
        )
        seen.append((kind, str(instance), number, item))
        return 0x0000, attributes(f"answer to {kind}")

    def delete(event: Event) -> int:
        note("N-DELETE", event, None, None)
        return 0x0000

    return [
        (evt.EVT_N_CREATE, lambda event: note("N-CREATE", event, None, event.attribute_list)),
        (evt.EVT_N_SET, lambda event: note("N-SET", event, None, event.modification_list)),
        (evt.EVT_N_GET, lambda event: note("N-GET", event, len(event.attribute_identifiers), None)),
        (
            evt.EVT_N_ACTION,
            lambda event: note("N-ACTION", event, event.action_type, event.action_information),
        ),
        (evt.EVT_N_DELETE, delete),
        (
            evt.EVT_N_EVENT_REPORT,
            lambda event: note("N-EVENT-REPORT", event, event.event_type, event.event_information),
        ),
    ]


def ask(assoc: Association, kind: str, uid: str) -> tuple[int, Dataset | None]:
    """Send one request and return status and attribute list of the response."""
    item = attributes(f"request of {kind}")
    reply: Dataset | None
    match kind:
        case "N-CREATE":
            status, reply = assoc.send_n_create(item, uid, INSTANCE, msg_id=11)
        case "N-SET":
            status, reply = assoc.send_n_set(item, uid, INSTANCE, msg_id=12)
        case "N-GET":
            tags = [Tag(0x00100020), Tag(0x00400252)]
            status, reply = assoc.send_n_get(tags, uid, INSTANCE, msg_id=13)
        case "N-ACTION":
            status, reply = assoc.send_n_action(item, 3, uid, INSTANCE, msg_id=14)
        case "N-DELETE":
            status, reply = assoc.send_n_delete(uid, INSTANCE, msg_id=15), None
        case _:
            status, reply = assoc.send_n_event_report(item, 5, uid, INSTANCE, msg_id=16)
    return status.Status, reply


def expected(kind: str) -> tuple[str, str, int | None, Dataset | None]:
    """Return what the SCP has to see of the request that `ask` sends."""
    number = {"N-GET": 2, "N-ACTION": 3, "N-EVENT-REPORT": 5}.get(kind)
    item = None if kind in {"N-GET", "N-DELETE"} else attributes(f"request of {kind}")
    return kind, INSTANCE, number, item


@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_of_every_normalised_service(way: Way, cloud_ae: Ae, service: str) -> None:
    uid, kinds = SERVICES[service]
    seen: Seen = []
    client = pynet.entity("PYNETSCU")
    client.add_requested_context(uid, SYNTAXES)
    with (
        pynet.scp(
            pynet.entity(cloud_ae.title), handlers(seen), port=cloud_ae.port, contexts=[(uid, SYNTAXES)]
        ),
        pynet.scu(client, way.entry(cloud_ae), called=cloud_ae.title) as assoc,
    ):
        assert assoc.is_established
        for kind in kinds:
            status, reply = ask(assoc, kind, uid)
            assert status == 0
            assert reply == (None if kind == "N-DELETE" else attributes(f"answer to {kind}"))
    assert seen == [expected(kind) for kind in kinds]


Report = Callable[[Association], None]


class Commitment:
    """A storage commitment SCP: answers N-ACTION, then reports by `report` in a thread of its own."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.threads: list[threading.Thread] = []

    def __call__(self, event: Event) -> tuple[int, Dataset | None]:
        thread = threading.Thread(target=self.report, args=(event.assoc,))
        self.threads.append(thread)
        # pynetdicom sends the response after this returns; a report may cross it on the wire.
        thread.start()
        return 0x0000, None


def transaction() -> Dataset:
    """Return the action information of a storage commitment request."""
    item = Dataset()
    item.TransactionUID = "1.2.3.4.5"
    reference = Dataset()
    reference.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    reference.ReferencedSOPInstanceUID = "1.2.3"
    item.ReferencedSOPSequence = [reference]
    return item


Reports = tuple[list[pynet.Handler], threading.Event, list[Dataset]]


@pytest.fixture
def reports() -> Reports:
    """What the client of a storage commitment is told."""
    told = threading.Event()
    got: list[Dataset] = []

    def report(event: Event) -> tuple[int, None]:
        got.append(event.event_information)
        told.set()
        return 0x0000, None

    return [(evt.EVT_N_EVENT_REPORT, report)], told, got


def test_commitment_is_reported_on_the_same_association(way: Way, cloud_ae: Ae, reports: Reports) -> None:
    client_handlers, told, got = reports
    statuses: list[int] = []

    def report(assoc: Association) -> None:
        status, _ = assoc.send_n_event_report(transaction(), 1, COMMITMENT, "1.2.840.10008.1.20.1.1")
        statuses.append(status.Status)

    service = Commitment(report)
    client = pynet.entity("MODALITY")
    client.add_requested_context(COMMITMENT, SYNTAXES)
    with (
        pynet.scp(
            pynet.entity(cloud_ae.title),
            [(evt.EVT_N_ACTION, service)],
            port=cloud_ae.port,
            contexts=[(COMMITMENT, SYNTAXES)],
        ),
        pynet.scu(
            client,
            way.entry(cloud_ae),
            called=cloud_ae.title,
            handlers=client_handlers,
            ext_neg=[build_role(COMMITMENT, scu_role=True, scp_role=True)],
        ) as assoc,
    ):
        status, _ = assoc.send_n_action(transaction(), 1, COMMITMENT, "1.2.840.10008.1.20.1.1")
        assert status.Status == 0
        assert told.wait(20)
        for thread in service.threads:
            thread.join(20)
    assert got == [transaction()]
    assert statuses == [0]


def test_commitment_is_reported_on_a_new_association_to_the_other_zone(
    way: Way,
    cloud_ae: Ae,
    hospital_ae: Ae,
    reports: Reports,
) -> None:
    client_handlers, told, got = reports
    statuses: list[int] = []

    def report(assoc: Association) -> None:
        reporter = pynet.entity(cloud_ae.title)
        reporter.add_requested_context(COMMITMENT, SYNTAXES)
        role = build_role(COMMITMENT, scu_role=False, scp_role=True)
        calling = assoc.requestor.ae_title
        with pynet.scu(reporter, way.entry(hospital_ae), called=calling, ext_neg=[role]) as back:
            status, _ = back.send_n_event_report(transaction(), 2, COMMITMENT, "1.2.840.10008.1.20.1.1")
            statuses.append(status.Status)

    service = Commitment(report)
    client = pynet.entity(hospital_ae.title)
    client.add_requested_context(COMMITMENT, SYNTAXES)
    with ExitStack() as stack:
        stack.enter_context(
            pynet.scp(
                pynet.entity(hospital_ae.title),
                client_handlers,
                port=hospital_ae.port,
                contexts=[(COMMITMENT, SYNTAXES)],
            )
        )
        stack.enter_context(
            pynet.scp(
                pynet.entity(cloud_ae.title),
                [(evt.EVT_N_ACTION, service)],
                port=cloud_ae.port,
                contexts=[(COMMITMENT, SYNTAXES)],
            )
        )
        with pynet.scu(client, way.entry(cloud_ae), called=cloud_ae.title) as assoc:
            status, _ = assoc.send_n_action(transaction(), 1, COMMITMENT, "1.2.840.10008.1.20.1.1")
            assert status.Status == 0
        assert told.wait(20)
        for thread in service.threads:
            thread.join(20)
    assert got == [transaction()]
    assert statuses == [0]
