"""Orthanc as the PACS of each zone: store, find, move back, get and storage commitment across the zones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import dcmtk
from tests.support.files import DicomFile, data_sets, synthetic, take_apart, write_file
from tests.support.mesh import Ae
from tests.support.orthanc import Orthanc
from tests.support.process import wait_until
from tests.support.way import Way


@dataclass(frozen=True, slots=True)
class Pair:
    """One Orthanc in each zone; each knows the other as the modality `other`."""

    near: Orthanc
    near_ae: Ae
    far: Orthanc
    far_ae: Ae
    viewer: Ae
    """An AE of the hospital for which nobody listens, known to the far Orthanc as `viewer`."""


@pytest.fixture(scope="module")
def pair(way: Way, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("orthanc")
    with ExitStack() as stack:
        near_ae, viewer = (stack.enter_context(way.borrowed("hospital")) for _ in range(2))
        far_ae = stack.enter_context(way.borrowed("cloud"))
        far = Orthanc.start(
            directory / "far",
            ae_title=far_ae.title,
            dicom_port=far_ae.port,
            modalities={
                "other": (near_ae.title, way.entry(near_ae)),
                "viewer": (viewer.title, way.entry(viewer)),
            },
        )
        stack.enter_context(far)
        near = Orthanc.start(
            directory / "near",
            ae_title=near_ae.title,
            dicom_port=near_ae.port,
            modalities={"other": (far_ae.title, way.entry(far_ae))},
        )
        stack.enter_context(near)
        yield Pair(near, near_ae, far, far_ae, viewer)


@pytest.fixture
def pacs(pair: Pair) -> Iterator[Pair]:
    """Both Orthancs, empty."""
    yield pair
    for orthanc in (pair.near, pair.far):
        for patient in orthanc.get("/patients"):
            orthanc.delete(f"/patients/{patient}")


def upload(orthanc: Orthanc, directory: Path, count: int = 3) -> dict[str, DicomFile]:
    """Put objects into an Orthanc over HTTP and return them by SOP instance UID."""
    objects = {}
    for number in range(1, count + 1):
        content = synthetic(number, 100_000, study=7)
        objects[content.sop_instance] = content
        orthanc.post("/instances", write_file(directory / f"{number}.dcm", content).read_bytes())
    return objects


def content(orthanc: Orthanc, directory: Path) -> dict[str, bytes]:
    """Return the data sets that an Orthanc holds by SOP instance UID."""
    found = {}
    for instance in orthanc.get("/instances"):
        path = directory / f"{instance}.dcm"
        path.write_bytes(orthanc.get_bytes(f"/instances/{instance}/file"))
        taken = take_apart(path)
        found[taken.sop_instance] = taken.data
    return found


def pixels(objects: dict[str, bytes]) -> dict[str, bytes]:
    """Return what Orthanc never touches: it may write group lengths and meta information of its own."""
    return {uid: data[-100_000:] for uid, data in objects.items()}


def study_of(orthanc: Orthanc) -> str:
    (study,) = orthanc.get("/studies")
    assert isinstance(study, str)
    return study


def test_echo_between_the_zones(pacs: Pair) -> None:
    assert pacs.near.post("/modalities/other/echo", {}) == {}
    assert pacs.far.post("/modalities/other/echo", {}) == {}


def test_orthanc_stores_to_orthanc_to_the_byte(pacs: Pair, tmp_path: Path) -> None:
    upload(pacs.near, tmp_path)
    answer = pacs.near.post("/modalities/other/store", study_of(pacs.near))
    assert answer["FailedInstancesCount"] == 0
    assert content(pacs.far, tmp_path) == content(pacs.near, tmp_path)
    assert len(pacs.far.get("/instances")) == 3


def test_orthanc_finds_and_moves_back_what_the_other_zone_has(pacs: Pair, tmp_path: Path) -> None:
    objects = upload(pacs.far, tmp_path)
    query = pacs.near.post(
        "/modalities/other/query", {"Level": "Study", "Query": {"PatientID": "MESH-TEST", "StudyDate": ""}}
    )["ID"]
    assert len(pacs.near.get(f"/queries/{query}/answers")) == 1
    pacs.near.post(f"/queries/{query}/answers/0/retrieve", pacs.near_ae.title.encode())
    got = content(pacs.near, tmp_path)
    assert pixels(got) == pixels({uid: item.data for uid, item in objects.items()})


def test_storage_commitment_is_reported_back_on_a_new_association(pacs: Pair, tmp_path: Path) -> None:
    upload(pacs.near, tmp_path)
    study = study_of(pacs.near)
    pacs.near.post("/modalities/other/store", study)
    asked = pacs.near.post("/modalities/other/storage-commitment", {"Resources": [study]})
    report = f"/storage-commitment/{asked['ID']}"
    wait_until(lambda: pacs.near.get(report)["Status"] != "Pending", "the report arrives")
    answer = pacs.near.get(report)
    assert answer["Status"] == "Success"
    assert len(answer["Success"]) == 3


def test_storage_commitment_of_what_is_not_there_is_reported_as_failure(pacs: Pair, tmp_path: Path) -> None:
    upload(pacs.near, tmp_path)
    asked = pacs.near.post("/modalities/other/storage-commitment", {"Resources": [study_of(pacs.near)]})
    report = f"/storage-commitment/{asked['ID']}"
    wait_until(lambda: pacs.near.get(report)["Status"] != "Pending", "the report arrives")
    assert pacs.near.get(report)["Status"] == "Failure"


def test_storescu_findscu_getscu_and_movescu_against_orthanc(way: Way, pacs: Pair, tmp_path: Path) -> None:
    port = way.entry(pacs.far_ae)
    objects = [synthetic(number, 100_000, study=8) for number in range(1, 4)]
    sources = [write_file(tmp_path / f"{number}.dcm", item) for number, item in enumerate(objects)]
    stored = dcmtk.storescu(port, *sources, called=pacs.far_ae.title, more=["-R"], env=dcmtk.NO_DELAY)
    assert stored.code == 0, stored.output
    expected = {item.sop_instance: item.data for item in objects}
    assert pixels(content(pacs.far, tmp_path)) == pixels(expected)

    study = ("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.826.0.1.3680043.9.9999.8")
    found = dcmtk.run("findscu", "-v", "-S", "-aec", pacs.far_ae.title, *study, "127.0.0.1", port)
    assert found.code == 0, found.output
    assert "Find Response: 1" in found.output

    got = tmp_path / "got"
    got.mkdir()
    options = ("-S", "+B", "-od", got, "-aec", pacs.far_ae.title)
    fetched = dcmtk.run("getscu", "-v", *options, *study, "127.0.0.1", port)
    assert fetched.code == 0, fetched.output
    assert pixels({uid: item.data for uid, item in data_sets(got).items()}) == pixels(expected)

    moved = tmp_path / "moved"
    child, _ = dcmtk.storescp(moved, port=pacs.viewer.port, ae_title=pacs.viewer.title)
    with child:
        result = dcmtk.run(
            *("movescu", "-v", "-S"),
            *("-aem", pacs.viewer.title, "-aec", pacs.far_ae.title, *study, "127.0.0.1", port),
        )
    assert result.code == 0, result.output
    assert pixels({uid: item.data for uid, item in data_sets(moved).items()}) == pixels(expected)
