"""`find`, `move` and `get` from the hospital's zone to archives of the cloud: DCMTK's dcmqrscp, Orthanc."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from tests.support import dcmtk
from tests.support.files import UID_ROOT, DicomFile, data_sets, real_files, synthetic, take_apart, write_file
from tests.support.mesh import Mesh, two_zones
from tests.support.orthanc import Orthanc
from tests.unit.app.test_cli import dimse_mesh

STUDY = f"{UID_ROOT}.1"
OBJECTS = [synthetic(number, 2000) for number in range(1, 6)]
JPEG = "1.2.840.10008.1.2.4.50"


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive of the cloud that holds `OBJECTS`, and an AE of the hospital that it can move to."""

    mesh: Mesh
    title: str
    destination: str
    destination_port: int

    def run(self, command: str, *arguments: str | Path) -> tuple[int, str]:
        """Run a command in the hospital's zone; return its exit code and all that it says."""
        hospital = self.mesh.directory / "hospital.yaml"
        nats = f"nats://127.0.0.1:{self.mesh.nats_port}"
        result = dimse_mesh(command, self.title, *arguments, "--config", hospital, "--nats", nats)
        return result.returncode, result.stdout + result.stderr


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with two_zones(tmp_path_factory.mktemp("mesh"), pool=4) as mesh:
        yield mesh


@pytest.fixture(scope="module", params=["dcmqrscp", "orthanc"])
def archive(
    request: pytest.FixtureRequest, mesh: Mesh, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Archive]:
    directory = tmp_path_factory.mktemp(request.param)
    ae = mesh.aes["CLOUD01" if request.param == "dcmqrscp" else "CLOUD02"]
    destination = mesh.aes["HOSPITAL01"]
    # The archive's way to every AE of the mesh is its own zone's front-end.
    way_out = mesh.listeners["cloud"]
    files = [write_file(directory / f"{number}.dcm", content) for number, content in enumerate(OBJECTS)]
    found = Archive(mesh, ae.title, destination.title, destination.port)
    if request.param == "dcmqrscp":
        child, _ = dcmtk.dcmqrscp(
            directory / "archive",
            ae_title=ae.title,
            port=ae.port,
            destinations={destination.title: way_out},
            env=dcmtk.NO_DELAY,
        )
        with child:
            assert dcmtk.storescu(ae.port, *files, called=ae.title).code == 0
            yield found
    else:
        with Orthanc.start(
            directory / "archive",
            ae_title=ae.title,
            dicom_port=ae.port,
            modalities={"hospital": (destination.title, way_out)},
            env=dcmtk.NO_DELAY,
            verbose=False,
        ):
            assert dcmtk.storescu(ae.port, *files, called=ae.title).code == 0
            yield found


def by_instance(objects: list[DicomFile]) -> dict[str, DicomFile]:
    return {item.sop_instance: item for item in objects}


def test_find_prints_what_matches(archive: Archive) -> None:
    code, said = archive.run("find", "-k", "PatientID=MESH-TEST")
    assert code == 0, said
    assert STUDY in said
    assert "MESH^TEST" in said
    assert (
        said.splitlines()[0].split()[:3] == ["PatientID", "StudyDate", "PatientName"] or "PatientID" in said
    )
    assert "1 matches" in said


def test_find_gives_json(archive: Archive) -> None:
    key = f"SeriesInstanceUID={STUDY}.1"
    code, said = archive.run(
        "find", "-k", f"StudyInstanceUID={STUDY}", "-k", key, "-k", "SOPInstanceUID", "--json"
    )
    assert code == 0, said
    answers = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert {answer["00080018"]["Value"][0] for answer in answers} == set(by_instance(OBJECTS))


def test_find_of_nothing_succeeds(archive: Archive) -> None:
    code, said = archive.run("find", "-k", "PatientID=NOBODY")
    assert code == 0, said
    assert "0 matches" in said


def test_get_writes_the_objects_as_they_are(archive: Archive, tmp_path: Path) -> None:
    code, said = archive.run("get", "-k", f"StudyInstanceUID={STUDY}", "--output", tmp_path / "got")
    assert code == 0, said
    assert "5 files" in said
    got = data_sets(tmp_path / "got")
    assert set(got) == set(by_instance(OBJECTS))
    assert {path.name for path in (tmp_path / "got").iterdir()} == {f"{name}.dcm" for name in got}
    if archive.title == "CLOUD01":  # Orthanc may write a data set anew
        assert got == by_instance(OBJECTS)


def test_get_of_one_image_writes_one(archive: Archive, tmp_path: Path) -> None:
    keys = [f"StudyInstanceUID={STUDY}", f"SeriesInstanceUID={STUDY}.1", f"SOPInstanceUID={STUDY}.1.3"]
    code, said = archive.run("get", *(word for key in keys for word in ("-k", key)), "--output", tmp_path)
    assert code == 0, said
    assert [path.name for path in tmp_path.iterdir()] == [f"{STUDY}.1.3.dcm"]


def test_get_of_nothing_fails(archive: Archive, tmp_path: Path) -> None:
    code, said = archive.run("get", "-k", "StudyInstanceUID=1.2.3", "--output", tmp_path)
    assert code == 1, said
    assert list(tmp_path.iterdir()) == []


def test_move_arrives_in_the_other_zone(archive: Archive, tmp_path: Path) -> None:
    received = tmp_path / "received"
    child, _ = dcmtk.storescp(received, port=archive.destination_port, env=dcmtk.NO_DELAY)
    with child:
        code, said = archive.run("move", "--to", archive.destination, "-k", f"StudyInstanceUID={STUDY}")
    assert code == 0, said
    assert "5 completed" in said
    assert set(data_sets(received)) == set(by_instance(OBJECTS))


def test_move_to_an_unknown_destination_fails(archive: Archive) -> None:
    code, said = archive.run("move", "--to", "NOBODY", "-k", f"StudyInstanceUID={STUDY}")
    assert code == 1, said
    assert "status " in said


def test_get_of_compressed_objects(mesh: Mesh, tmp_path: Path) -> None:
    path = next(path for path in real_files()[JPEG] if path.name == "color3d_jpeg_baseline.dcm")
    stored, ae = take_apart(path), mesh.aes["CLOUD03"]
    study = dcmread(path, stop_before_pixels=True).StudyInstanceUID
    archive = Archive(mesh, ae.title, "", 0)
    with Orthanc.start(
        tmp_path / "archive", ae_title=ae.title, dicom_port=ae.port, env=dcmtk.NO_DELAY, verbose=False
    ):
        assert dcmtk.storescu(ae.port, path, called=ae.title, more=["-xy"]).code == 0
        for sop_class in ((), ("--sop-class", stored.sop_class)):
            got = tmp_path / f"got{len(sop_class)}"
            keys = ("-k", f"StudyInstanceUID={study}")
            code, said = archive.run("get", *keys, "--output", got, *sop_class)
            assert code == 0, said
            assert data_sets(got)[stored.sop_instance].transfer_syntax == JPEG


def test_find_in_a_worklist(mesh: Mesh, tmp_path: Path) -> None:
    ae = mesh.aes["CLOUD04"]
    (tmp_path / ae.title).mkdir()
    for number, modality in enumerate(("CT", "MR")):
        write_worklist(tmp_path / ae.title / f"{number}.wl", f"PATIENT^{modality}", modality)
    child, _ = dcmtk.wlmscpfs(tmp_path, ae_title=ae.title, port=ae.port)
    with child:
        key = "ScheduledProcedureStepSequence.Modality=MR"
        code, said = Archive(mesh, ae.title, "", 0).run("find", "--model", "worklist", "-k", key)
    assert code == 0, said
    assert "PATIENT^MR" in said
    assert "20250102" in said
    assert "1 matches" in said


def write_worklist(path: Path, name: str, modality: str) -> None:
    """Write a worklist item with what wlmscpfs requires."""
    step, item = Dataset(), Dataset()
    step.ScheduledStationAETitle = "STATION"
    step.ScheduledProcedureStepStartDate = "20250102"
    step.ScheduledProcedureStepStartTime = "080910"
    step.Modality = modality
    step.ScheduledProcedureStepID = "1"
    step.ScheduledProcedureStepDescription = "scan"
    item.PatientName = name
    item.PatientID = "1"
    item.PatientBirthDate = "19700101"
    item.PatientSex = "O"
    item.AccessionNumber = "1"
    item.StudyInstanceUID = "1.2.3"
    item.RequestedProcedureID = "1"
    item.RequestedProcedureDescription = "scan"
    item.ScheduledProcedureStepSequence = [step]
    item.file_meta = FileMetaDataset()
    item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    item.file_meta.MediaStorageSOPClassUID = UID("1.2.276.0.7230010.3.1.0.1")
    item.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    dcmwrite(path, item, enforce_file_format=True)
