"""The demo's archive against DCMTK's clients: it must be a real peer, or the demo shows nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association

from dimse_mesh.app.archive.associations import Checkpoint, PreparedEntity
from dimse_mesh.app.archive.catalog import Catalog, StoredObject
from dimse_mesh.app.archive.matching import matches
from tests.support import dcmtk
from tests.support.files import UID_ROOT, data_sets, synthetic, write_file
from tests.support.ports import reserve_port
from tests.support.pynet import entity, scu
from tests.support.wire import VERIFICATION

OBJECTS = [synthetic(number, 3000, study=study) for study in (1, 2) for number in (1, 2, 3)]
MPPS = "1.2.840.10008.3.1.2.3.3"
STUDY_ROOT = "-S"


@dataclass(frozen=True, slots=True)
class Archive:
    """A running archive, and where it calls."""

    port: int
    callback_port: int


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    folder = tmp_path_factory.mktemp("archive")
    callback = reserve_port()
    with subprocess.Popen(
        [sys.executable, "-m", "dimse_mesh.app.archive", str(folder), "0", str(callback)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        files = [write_file(folder / f"sent{number}", content) for number, content in enumerate(OBJECTS)]
        result = dcmtk.storescu(port, *files, called="ARCHIVE", env=dcmtk.NO_DELAY)
        assert result.code == 0, result.output
        yield Archive(port, callback)
        process.communicate()
        assert process.returncode == 0


def expected(study: int) -> dict[str, object]:
    return {
        item.sop_instance: item for item in OBJECTS if item.sop_instance.startswith(f"{UID_ROOT}.{study}.")
    }


def test_findscu_finds_studies_with_their_counts(archive: Archive, tmp_path: Path) -> None:
    result = dcmtk.run(
        *("findscu", STUDY_ROOT, "-X", "-od", tmp_path, "-aec", "ARCHIVE"),
        *("-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName=mesh*", "-k", "StudyInstanceUID"),
        *("-k", "NumberOfStudyRelatedInstances", "-k", "ModalitiesInStudy"),
        *("127.0.0.1", archive.port),
    )
    assert result.code == 0, result.output
    answers = [dcmread(path, force=True) for path in sorted(tmp_path.iterdir())]
    found = [(a.StudyInstanceUID, a.NumberOfStudyRelatedInstances, a.ModalitiesInStudy) for a in answers]
    assert sorted(found) == [(f"{UID_ROOT}.{study}", 3, "CT") for study in (1, 2)]


def test_getscu_gets_a_study_byte_for_byte(archive: Archive, tmp_path: Path) -> None:
    result = dcmtk.run(
        *("getscu", STUDY_ROOT, "+B", "-od", tmp_path, "-aec", "ARCHIVE", "-k", "QueryRetrieveLevel=STUDY"),
        *("-k", f"StudyInstanceUID={UID_ROOT}.2", "127.0.0.1", archive.port),
    )
    assert result.code == 0, result.output
    assert data_sets(tmp_path) == expected(2)


def test_movescu_moves_a_study_byte_for_byte(archive: Archive, tmp_path: Path) -> None:
    child, _ = dcmtk.storescp(tmp_path / "received", port=archive.callback_port, ae_title="HOME")
    with child:
        result = dcmtk.run(
            *("movescu", STUDY_ROOT, "-aec", "ARCHIVE", "-aem", "HOME", "-k", "QueryRetrieveLevel=STUDY"),
            *("-k", f"StudyInstanceUID={UID_ROOT}.1", "127.0.0.1", archive.port),
        )
    assert result.code == 0, result.output
    assert data_sets(tmp_path / "received") == expected(1)


def test_pynetdicom_steps_through_a_procedure(archive: Archive) -> None:
    client = entity("MODALITY")
    client.add_requested_context(MPPS)
    begun, ended = Dataset(), Dataset()
    begun.PerformedProcedureStepStatus = "IN PROGRESS"
    ended.PerformedProcedureStepStatus = "COMPLETED"
    with scu(client, archive.port, called="ARCHIVE") as association:
        statuses = [
            association.send_n_create(begun, MPPS, "1.2.3")[0].Status,
            association.send_n_create(begun, MPPS, "1.2.3")[0].Status,
            association.send_n_set(ended, MPPS, "1.2.3")[0].Status,
            association.send_n_set(ended, MPPS, "1.2.3")[0].Status,
            association.send_n_set(ended, MPPS, "1.2.4")[0].Status,
            association.send_n_create(ended, MPPS, "1.2.5")[0].Status,
        ]
    assert statuses == [0, 0x0111, 0, 0x0110, 0x0112, 0x0106]


@pytest.mark.parametrize(
    ("vr", "key", "value", "matched"),
    [
        ("PN", "", "A", True),
        ("PN", "*", None, True),
        ("PN", "doe^j*", "Doe^John", True),
        ("LO", "a*", "ABC", False),
        ("LO", "A?C", "ABC", True),
        ("LO", "A.C", "ABC", False),
        ("LO", "ABC", None, False),
        ("UI", ["1.2", "1.3"], "1.3", True),
        ("UI", "1.*", "1.3", False),
        ("DA", "20240101-20240131", "20240131", True),
        ("DA", "20240101-", "20231231", False),
        ("DA", "-20240101", "20240101", True),
        ("TM", "10-12", "115959", True),
        ("CS", "CT", ["MR", "CT"], True),
    ],
)
def test_matching_follows_the_standard(vr: str, key: object, value: object, *, matched: bool) -> None:
    tag = 0x00091010
    have = None if value is None else DataElement(tag, vr, value)
    assert matches(DataElement(tag, vr, key, validation_mode=IGNORE), have) is matched


def test_level_that_there_is_not_is_an_error() -> None:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "WARD"
    with pytest.raises(ValueError, match="WARD"):
        Catalog().answers(identifier)


def test_object_stored_again_replaces_the_first() -> None:
    catalog, attributes = Catalog(), Dataset()
    attributes.SOPInstanceUID = "1.2"
    for name in ("first", "second"):
        catalog.add(StoredObject(Path(name), "1.1", "1.2", "1.2.840.10008.1.2", attributes))
    assert [stored.path.name for stored in catalog.matching(Dataset())] == ["second"]


def test_a_thread_that_is_to_wait_looks_at_nothing_until_it_may() -> None:
    looks, over = 0, False
    checkpoint = Checkpoint(cast(Association, SimpleNamespace(is_alive=lambda: True)))

    def look_again_and_again() -> None:
        nonlocal looks
        while not over:
            checkpoint.wait()
            looks += 1

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=look_again_and_again)
    try:
        sys.setswitchinterval(1e-6)
        thread.start()
        for _ in range(500):
            checkpoint.clear()
            before = looks
            time.sleep(0.0001)
            assert looks == before
            checkpoint.set()
    finally:
        over = True
        checkpoint.set()
        thread.join()
        sys.setswitchinterval(interval)


def test_both_ends_of_an_association_wait_there() -> None:
    server, client, accepted = PreparedEntity("SERVER"), PreparedEntity("CLIENT"), list[Association]()
    server.add_supported_context(VERIFICATION)
    client.add_requested_context(VERIFICATION)
    keep = [(evt.EVT_ACCEPTED, lambda event: accepted.append(event.assoc))]
    listening = server.start_server(("127.0.0.1", 0), block=False, evt_handlers=keep)
    assert listening is not None
    try:
        association = client.associate(*listening.server_address)
        assert association.send_c_echo().Status == 0
        association.release()
    finally:
        listening.shutdown()
    assert len(accepted) == 1
    assert all(isinstance(each._reactor_checkpoint, Checkpoint) for each in (association, *accepted))
