"""`commitment: target`: nothing is reported before the destination's own storage commitment says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at import time
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from tests.durable.operator import queue
from tests.durable.requestor import MODALITY, Report, Reports, ask, asking, listening, stored
from tests.durable.site import ARCHIVE, PATIENCE, Site, site
from tests.support.files import synthetic
from tests.support.mesh import Ae
from tests.support.orthanc import Orthanc
from tests.support.ports import reserve_port
from tests.support.pynet import entity, scp, was_rejected
from tests.support.wire import CT_STORAGE, EXPLICIT_LE, IMPLICIT_LE

OURS = "DIMSE-MESH"
HOOKED = "HOOKED"
"""Called AE title of a route with hooks."""
BOTH, SECOND = "BOTH", "SECOND"
"""Called AE title of a route to two destinations, and the second one's own."""
IMPATIENT = 3.0
"""Seconds after which a destination that doesn't report counts as not committed."""


@dataclass(slots=True)
class Pacs:
    """A destination that offers storage commitment, and reports when it is told to."""

    offers: bool = True
    status: int = 0
    """What it answers to N-ACTION."""
    reports_at_once: bool = False
    """On the association that has asked."""
    missing: dict[str, int] = field(default_factory=dict)
    """Instances that it isn't committed to, and its reasons."""
    stored: list[str] = field(default_factory=list)
    asked: list[Dataset] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    """Statuses that it got for its reports."""
    titles: list[str] = field(default_factory=list)
    """Calling AE titles that have asked it."""
    changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def serve(self, port: int) -> Iterator[None]:
        """Listen for the length of the block."""
        ae = entity(ARCHIVE)
        ae.add_supported_context(CT_STORAGE, [EXPLICIT_LE, IMPLICIT_LE])
        if self.offers:
            ae.add_supported_context(StorageCommitmentPushModel)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._action)]
        with scp(ae, handlers, port=port):
            yield

    def _store(self, event: Event) -> int:
        with self.changed:
            self.stored.append(str(event.dataset.SOPInstanceUID))
            self.changed.notify_all()
        return 0

    def _action(self, event: Event) -> tuple[int, None]:
        with self.changed:
            self.asked.append(event.action_information)
            self.titles.append(str(event.assoc.requestor.ae_title))
            self.changed.notify_all()
        if self.reports_at_once:
            threading.Thread(target=self._report_on, args=(event.assoc, event.action_information)).start()
        return self.status, None

    def wait_until_asked(self, count: int = 1) -> Dataset:
        """Return the newest request once there are so many."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.asked) >= count, PATIENCE), "nobody has asked"
            return self.asked[-1]

    def call_back(self, port: int, wanted: Dataset) -> int:
        """Report on a new association; return the status that it is answered."""
        ae = entity(ARCHIVE)
        association = ae.associate(
            "127.0.0.1",
            port,
            ae_title=OURS,
            contexts=[build_context(StorageCommitmentPushModel)],
            ext_neg=[build_role(StorageCommitmentPushModel, scp_role=True)],
        )
        assert association.is_established
        status = self._report_on(association, wanted)
        association.release()
        return status

    def _report_on(self, association: Association, wanted: Dataset) -> int:
        information = Dataset()
        information.TransactionUID = wanted.TransactionUID
        committed, failed = [], []
        for reference in wanted.ReferencedSOPSequence:
            item = Dataset()
            item.ReferencedSOPClassUID = reference.ReferencedSOPClassUID
            item.ReferencedSOPInstanceUID = uid = reference.ReferencedSOPInstanceUID
            if uid in self.missing:
                item.FailureReason = self.missing[uid]
                failed.append(item)
            else:
                committed.append(item)
        if committed:
            information.ReferencedSOPSequence = committed
        if failed:
            information.FailedSOPSequence = failed
        status, _ = association.send_n_event_report(
            information,
            2 if failed else 1,
            StorageCommitmentPushModel,
            StorageCommitmentPushModelInstance,
        )
        with self.changed:
            self.answers.append(status.Status)
            self.changed.notify_all()
        return int(status.Status)

    def wait_until_heard(self) -> int:
        """Return the status that the newest report was answered."""
        with self.changed:
            assert self.changed.wait_for(lambda: bool(self.answers), PATIENCE)
            return self.answers[-1]


@dataclass(slots=True)
class Clinic:
    """A site whose modality can be called back, and whose destination can call back."""

    where: Site
    modality: int
    """Port of the modality's own listener."""
    callback: int
    """Port of the cloud's listener."""
    second: int
    """Where SECOND is expected."""


@contextmanager
def clinic_in(
    directory: Path, *, port: int | None = None, callback: int | None = None, timeout: float = 600.0
) -> Iterator[Clinic]:
    """Start it; `port` is the destination's, `callback` the cloud's listener."""
    modality, callback, second = reserve_port(), callback or reserve_port(), reserve_port()
    key = directory / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    hooks = [{"deidentify": {"key_file": str(key)}}]
    durable = {"delivery": "durable", "commitment": "target"}
    with site(
        directory,
        port=port,
        route={"commitment": "target"},
        more_aes=[Ae(SECOND, second, "cloud")],
        more_routes=[
            {"called": HOOKED, "to": {"ae": ARCHIVE}, **durable, "hooks": hooks},
            {"called": BOTH, "to": [{"ae": ARCHIVE}, {"ae": SECOND}], **durable},
        ],
        hospital={
            "scu": {"remote_aes": [{"ae_title": MODALITY, "host": "127.0.0.1", "port": modality}]},
            "delivery": {"retry": {"first": 0.2, "longest": 1.0}},
        },
        cloud={
            "association": {"listeners": [{"host": "127.0.0.1", "port": callback}]},
            "delivery": {
                "retry": {"first": 0.2, "longest": 1.0},
                "look_interval": 0.2,
                "commitment": {"linger": 2.0, "timeout": timeout},
            },
        },
    ) as where:
        yield Clinic(where, modality, callback, second)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    with clinic_in(tmp_path_factory.mktemp("confirmed")) as clinic:
        yield clinic


def test_orthanc_is_asked_and_calls_back(tmp_path: Path) -> None:
    """What Orthanc has lost meanwhile is reported as failed, though it had taken it."""
    port, callback = reserve_port(), reserve_port()
    reports = Reports()
    with (
        Orthanc.start(
            tmp_path / "orthanc", ae_title=ARCHIVE, dicom_port=port, modalities={"mesh": (OURS, callback)}
        ) as orthanc,
        clinic_in(tmp_path, port=port, callback=callback) as clinic,
        listening(reports, clinic.modality),
    ):
        contents = [synthetic(number, 20_000) for number in range(3)]
        wanted = stored(clinic.where, contents)
        with asking(clinic.where, reports) as assoc:
            status, transaction = ask(assoc, wanted)
            assert status.Status == 0
        report = reports.wait_for()
        assert report == Report(1, transaction, [uid for _, uid in wanted], {}, ARCHIVE)
        lost = orthanc.post("/tools/lookup", contents[1].sop_instance.encode())
        orthanc.delete(lost[0]["Path"])
        with asking(clinic.where, reports) as assoc:
            ask(assoc, wanted)
        report = reports.wait_for(2)
    assert (report.event_type, report.committed) == (2, [wanted[0][1], wanted[2][1]])
    assert report.failed == {contents[1].sop_instance: 0x0112}


def test_what_the_destination_reports_on_the_association_that_has_asked(clinic: Clinic) -> None:
    reports, pacs = Reports(), Pacs(reports_at_once=True)
    contents = [synthetic(10 + number, 20_000) for number in range(3)]
    pacs.missing[contents[2].sop_instance] = 0x0213
    with pacs.serve(clinic.where.port):
        wanted = stored(clinic.where, contents)
        with asking(clinic.where, reports) as assoc:
            status, transaction = ask(assoc, wanted)
            assert status.Status == 0
            report = reports.wait_for()
        assert pacs.wait_until_heard() == 0
    committed = [content.sop_instance for content in contents[:2]]
    assert report == Report(2, transaction, committed, {contents[2].sop_instance: 0x0213}, "")
    assert pacs.titles == [OURS]
    assert pacs.asked[0].TransactionUID != transaction


def test_nothing_is_said_before_the_destination_has_whoever_is_killed(clinic: Clinic) -> None:
    """Everybody dies between the question and the late report, which comes on a new association."""
    where, reports, pacs = clinic.where, Reports(), Pacs()
    with pacs.serve(where.port):
        wanted = stored(where, [synthetic(20 + number, 20_000) for number in range(2)])
        with asking(where, reports) as assoc:
            status, transaction = ask(assoc, wanted)
            assert status.Status == 0
        first = pacs.wait_until_asked()
        where.wait_until(lambda: "hasn't reported yet" in queue(where, "commitments"), "it is told")
    for victim in ("hospital/association", "cloud/delivery", "cloud/association", "nats-server"):
        where.kill(victim)
    assert reports.got == []
    with listening(reports, clinic.modality):
        where.wait_until(lambda: "can't be asked" in queue(where, "commitments"), "it is asked once more")
        assert reports.got == []
        where.wait_until(lambda: pacs.call_back(clinic.callback, first) == 0, "the late report is taken")
        report = reports.wait_for(timeout=60)
    assert report == Report(1, transaction, [uid for _, uid in wanted], {}, ARCHIVE)
    where.wait_until(lambda: "nothing waits" in queue(where, "commitments"), "the request is done with")
    assert pacs.call_back(clinic.callback, first) == 0x0112  # nothing waits for it any more


def test_a_destination_without_the_service_is_taken_at_its_c_store(clinic: Clinic) -> None:
    reports, pacs = Reports(), Pacs(offers=False)
    with pacs.serve(clinic.where.port):
        wanted = stored(clinic.where, [synthetic(30, 20_000)])
        with asking(clinic.where, reports) as assoc:
            status, transaction = ask(assoc, wanted)
            assert status.Status == 0
            report = reports.wait_for()
    assert report == Report(1, transaction, [wanted[0][1]], {}, "")
    clinic.where.mesh.child.wait_for_line("ARCHIVE doesn't offer storage commitment")


def test_behind_hooks_the_destination_is_asked_by_its_own_names(clinic: Clinic) -> None:
    reports, pacs = Reports(), Pacs(reports_at_once=True)
    with pacs.serve(clinic.where.port):
        wanted = stored(clinic.where, [synthetic(40, 20_000)], called=HOOKED)
        with asking(clinic.where, reports, called=HOOKED) as assoc:
            status, transaction = ask(assoc, wanted)
            assert status.Status == 0
            report = reports.wait_for()
    assert report == Report(1, transaction, [wanted[0][1]], {}, "")
    assert [item.ReferencedSOPInstanceUID for item in pacs.asked[0].ReferencedSOPSequence] == pacs.stored
    assert pacs.stored != [wanted[0][1]]


@pytest.mark.parametrize("missing", [{}, {1: 0x0213}])
def test_each_destination_of_a_route_is_asked(clinic: Clinic, missing: dict[int, int]) -> None:
    reports = Reports()
    contents = [synthetic((70 if missing else 80) + number, 20_000) for number in range(3)]
    lost = {contents[number].sop_instance: reason for number, reason in missing.items()}
    first, second = Pacs(reports_at_once=True), Pacs(reports_at_once=True, missing=lost)
    with first.serve(clinic.where.port), second.serve(clinic.second):
        wanted = stored(clinic.where, contents, called=BOTH)
        with asking(clinic.where, reports, called=BOTH) as assoc:
            status, transaction = ask(assoc, wanted)
            assert status.Status == 0
            report = reports.wait_for()
    committed = [uid for _, uid in wanted if uid not in lost]
    assert report == Report(2 if lost else 1, transaction, committed, lost, "")
    assert first.asked[0].TransactionUID != second.asked[0].TransactionUID


def test_a_destination_that_never_reports_is_not_committed(tmp_path: Path) -> None:
    reports, pacs = Reports(), Pacs()
    with clinic_in(tmp_path, timeout=IMPATIENT) as clinic, pacs.serve(clinic.where.port):
        wanted = stored(clinic.where, [synthetic(50, 20_000)])
        with asking(clinic.where, reports) as assoc:
            status, transaction = ask(assoc, wanted)
            assert status.Status == 0
            report = reports.wait_for()
        assert report == Report(2, transaction, [], {wanted[0][1]: 0x0110}, "")
        clinic.where.mesh.child.wait_for_line("has not reported in time")


def test_a_destination_that_refuses_the_question_is_asked_again(clinic: Clinic) -> None:
    where, reports, pacs = clinic.where, Reports(), Pacs(status=0x0110)
    with pacs.serve(where.port):
        wanted = stored(where, [synthetic(60, 20_000)])
        with asking(where, reports) as assoc:
            ask(assoc, wanted)
            where.wait_until(
                lambda: "answers with status 0110H" in queue(where, "commitments"), "the status is told"
            )
            pacs.wait_until_asked(2)
            pacs.status, pacs.reports_at_once = 0, True
            assert reports.wait_for().event_type == 1


def test_a_stranger_s_association_with_our_title_gets_nothing(clinic: Clinic) -> None:
    """Storage to the title isn't accepted here: it goes where the called AE title leads, which is nowhere."""
    ae = entity("STRANGER")
    ae.add_requested_context(CT_STORAGE)
    association = ae.associate("127.0.0.1", clinic.callback, ae_title=OURS)
    assert was_rejected(association)
    stranger = Dataset()
    stranger.TransactionUID, stranger.ReferencedSOPSequence = "2.25.12345.6", []
    assert Pacs().call_back(clinic.callback, stranger) == 0x0112
