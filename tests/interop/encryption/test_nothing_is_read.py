"""DCMTK and pynetdicom through encrypted zones, in both directions: all as ever, and the bus learns nothing."""

from __future__ import annotations

import threading
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModel,
)

from tests.interop.encryption.conftest import SECRETS, Tapped
from tests.support import dcmtk, pynet
from tests.support.files import data_sets, synthetic, write_file

SMALL, LARGE = 2_000, 700_000
STUDY = "-k", "0008,0052=STUDY", "-k", "0010,0010", "-k", "0010,0020=MESH-TEST", "-k", "0020,000d"


def stored(way: Tapped, tmp_path: Path) -> None:
    """Store, find, get and move with DCMTK."""
    sent = [synthetic(number, size) for number, size in enumerate((SMALL, LARGE), start=1)]
    files = [write_file(tmp_path / f"{number}.dcm", item) for number, item in enumerate(sent)]
    archive, viewer = way.mesh.aes["ARCHIVE"], way.mesh.aes["VIEWER"]
    expected = {item.sop_instance: item.data for item in sent}
    server, _ = dcmtk.dcmqrscp(
        tmp_path / "archive",
        ae_title="ARCHIVE",
        port=archive.port,
        destinations={"VIEWER": way.entry("cloud")},
    )
    moved, _ = dcmtk.storescp(tmp_path / "moved", ae_title="VIEWER", port=viewer.port)
    entry = way.entry("hospital")
    with server, moved:
        result = dcmtk.storescu(entry, *files, called="ARCHIVE")
        assert result.code == 0, result.output
        result = dcmtk.run("findscu", "-v", "-S", "-aec", "ARCHIVE", *STUDY, "127.0.0.1", entry)
        assert result.code == 0, result.output
        assert "MESH^TEST" in result.output
        (tmp_path / "got").mkdir()
        query = ("-S", "-aec", "ARCHIVE", "-k", "0008,0052=STUDY", "-k", f"0020,000d={study(sent[0].data)}")
        result = dcmtk.run("getscu", "-v", "+B", "-od", tmp_path / "got", *query, "127.0.0.1", entry)
        assert result.code == 0, result.output
        result = dcmtk.run("movescu", "-v", "-aem", "VIEWER", *query, "127.0.0.1", entry)
        assert result.code == 0, result.output
    for folder in ("got", "moved"):
        assert {uid: item.data for uid, item in data_sets(tmp_path / folder).items()} == expected


def study(data: bytes) -> str:
    """Return the Study Instance UID of a data set in Explicit VR Little Endian."""
    at = data.index(b"\x20\x00\x0d\x00UI") + 6
    length = int.from_bytes(data[at : at + 2], "little")
    return data[at + 2 : at + 2 + length].rstrip(b"\0").decode()


def normalised(way: Tapped) -> None:
    """N-CREATE, N-ACTION and the N-EVENT-REPORT that follows it on the same association."""
    step = Dataset()
    step.PatientName, step.PatientID = "MESH^TEST", "MESH-TEST"
    step.PerformedProcedureStepStatus = "IN PROGRESS"
    reported, heard = threading.Event(), []

    def act(event: Event) -> tuple[int, Dataset]:
        threading.Thread(target=report, args=(event.assoc,)).start()
        return 0, step

    def report(assoc: object) -> None:
        assoc.send_n_event_report(step, 1, StorageCommitmentPushModel, "1.2.3")  # type: ignore[attr-defined]
        reported.set()  # and answered: pynetdicom must not answer and release at once

    def hear(event: Event) -> tuple[int, None]:
        heard.append(event.event_information)
        return 0, None

    contexts = [
        (uid, [ExplicitVRLittleEndian])
        for uid in (ModalityPerformedProcedureStep, StorageCommitmentPushModel)
    ]
    serving = [(evt.EVT_N_CREATE, lambda event: (0, event.attribute_list)), (evt.EVT_N_ACTION, act)]
    client = pynet.entity("CT1")
    for uid, syntaxes in contexts:
        client.add_requested_context(uid, syntaxes)
    with (
        pynet.scp(pynet.entity("ARCHIVE"), serving, port=way.mesh.aes["ARCHIVE"].port, contexts=contexts),
        pynet.scu(
            client,
            way.entry("hospital"),
            called="ARCHIVE",
            handlers=[(evt.EVT_N_EVENT_REPORT, hear)],
        ) as assoc,
    ):
        assert assoc.is_established
        status, answer = assoc.send_n_create(step, ModalityPerformedProcedureStep, "1.2.3")
        assert (status.Status, answer) == (0, step)
        status, answer = assoc.send_n_action(step, 1, StorageCommitmentPushModel, "1.2.3")
        assert (status.Status, answer) == (0, step)
        assert reported.wait(30)
    assert heard == [step]


def test_composite_services_pass_and_nothing_is_read(sealed: Tapped, tmp_path: Path) -> None:
    stored(sealed, tmp_path)
    assert sealed.seen() == set()


def test_normalised_services_pass_and_nothing_is_read(sealed: Tapped) -> None:
    normalised(sealed)
    assert sealed.seen() == set()


def test_without_encryption_the_bus_sees_all_of_it(open_zones: Tapped, tmp_path: Path) -> None:
    """The control: what the other tests look for is there to be found."""
    stored(open_zones, tmp_path)
    normalised(open_zones)
    assert open_zones.seen() == set(SECRETS)


def test_within_a_zone_it_is_encrypted_too(sealed: Tapped, tmp_path: Path) -> None:
    item = synthetic(1, LARGE)
    received, _ = dcmtk.storescp(
        tmp_path / "received", ae_title="VIEWER", port=sealed.mesh.aes["VIEWER"].port
    )
    with received:
        file = write_file(tmp_path / "1.dcm", item)
        result = dcmtk.storescu(sealed.entry("hospital"), file, called="VIEWER")
        assert result.code == 0, result.output
    assert data_sets(tmp_path / "received")[item.sop_instance].data == item.data
    assert sealed.seen() == set()
