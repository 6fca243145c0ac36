"""A folder as the destination of live and durable routes, and of C-MOVE."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelMove  # type: ignore[attr-defined]

from tests.durable.site import message_of
from tests.storage.mesh import Stores, files_in, stores, unfinished_in
from tests.support.files import (
    UID_ROOT,
    DicomFile,
    enhanced_ct,
    one_of_each_syntax,
    synthetic,
    take_apart,
    write_file,
)
from tests.support.orthanc import Orthanc
from tests.support.ports import reserve_port
from tests.support.process import wait_until
from tests.support.pynet import entity, scu
from tests.support.wire import Status, abort, fragments, pdu


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("places")


ORTHANC_PORT = reserve_port()


@pytest.fixture(scope="module")
def running(root: Path) -> Iterator[Stores]:
    places = {
        "FOLDER": {"url": f"file://{root}/folder"},
        "VERSIONS": {"url": f"file://{root}/versions", "on_conflict": "version"},
        "FLAT": {"url": f"file://{root}/flat", "layout": "{PatientID}/{Modality}-{SOPInstanceUID}"},
        "NOWHERE": {"url": f"file://{root}/not/there"},
    }
    routes = [{"called": "LATER", "to": [{"ae": "FOLDER"}, {"ae": "FLAT"}], "delivery": "durable"}]
    pacs = {"ae_title": "PACS", "host": "127.0.0.1", "port": ORTHANC_PORT}
    with stores(root / "mesh", places, routes=routes, remote_aes=[pacs]) as started:
        yield started


def named(content: DicomFile, study: int) -> str:
    return f"{UID_ROOT}.{study}/{UID_ROOT}.{study}.1/{content.sop_instance}.dcm"


def test_echo(running: Stores) -> None:
    with running.open("FOLDER", synthetic(1, 10)) as client:
        assert client.echo(context_id=3) == 0
        client.release()


def test_every_syntax_arrives_to_the_byte(running: Stores, root: Path) -> None:
    # pydicom has one instance in several syntaxes: to the place that would be one instance with other contents.
    sent = [
        replace(take_apart(path), sop_instance=f"{UID_ROOT}.99.{number}")
        for number, path in enumerate(one_of_each_syntax().values())
    ]
    assert running.store("FOLDER", *sent) == [0] * len(sent)
    stored = files_in(root / "folder")
    by_instance = {content.sop_instance: content for content in stored.values()}
    assert {content.sop_instance: content for content in sent}.items() <= by_instance.items()
    for name, content in stored.items():
        data_set = pydicom.dcmread(root / "folder" / name, stop_before_pixels=True, force=False)
        assert data_set.file_meta.MediaStorageSOPInstanceUID == content.sop_instance
        study = str(data_set.get("StudyInstanceUID", "") or "none")
        series = str(data_set.get("SeriesInstanceUID", "") or "none")
        assert name == f"{study}/{series}/{content.sop_instance}.dcm"
    assert not unfinished_in(root / "folder")


def test_the_same_instance_again(running: Stores, root: Path) -> None:
    first = synthetic(1, 300_000, study=2)
    other = replace(first, data=first.data[:-2] + b"\1\2")
    assert running.store("FOLDER", first, first, other, first) == [0, 0, Status.DUPLICATE, 0]
    assert files_in(root / "folder")[named(first, 2)] == first
    assert running.store("VERSIONS", first, other, first, other) == [0] * 4
    kept = files_in(root / "versions")
    assert list(kept.values()) == [first, other]
    plain, version = kept
    assert plain == named(first, 2)
    assert version.startswith(named(first, 2).removesuffix(".dcm") + "@")
    assert not unfinished_in(root / "folder")
    assert not unfinished_in(root / "versions")


def test_what_a_data_set_says_never_becomes_a_path(running: Stores, root: Path) -> None:
    evil = synthetic(1, 100, study=3, patient_id="../../../tmp/x")
    evil = replace(evil, sop_instance="../../evil")
    assert running.store("FLAT", evil) == [0]
    assert list(files_in(root / "flat")) == ["=2E.=2F..=2F..=2Ftmp=2Fx/CT-=2E.=2F..=2Fevil"]


def test_an_object_that_breaks_off_never_appears(running: Stores, root: Path) -> None:
    content = synthetic(1, 3_000_000, study=4)
    with running.open("FOLDER", content) as client:
        whole = [pdu(4, value) for value in fragments(message_of(content), [16378])]
        client.send(b"".join(whole[: len(whole) * 2 // 3]))
        wait_until(lambda: bool(unfinished_in(root / "folder")), "it has begun")
        client.send(abort(0, 0))
    wait_until(lambda: not unfinished_in(root / "folder"), "it is forgotten")
    assert named(content, 4) not in files_in(root / "folder")


def test_a_place_that_is_not_there(running: Stores) -> None:
    content = synthetic(1, 100_000, study=5)
    with running.open("NOWHERE", content) as client:
        answer = client.exchange(message_of(content))
        assert answer.status == 0xA700
        assert client.echo(context_id=3) == 0x0110, "it says so"
        client.release()
    wait_until(
        lambda: "objects for NOWHERE are refused" in running.mesh.log.read_text(), "the log has a line"
    )
    assert "missing: No such file or directory" in running.mesh.log.read_text()


def test_durable_routes_deliver_into_two_places(running: Stores, root: Path) -> None:
    sent = [synthetic(number, 200_000, study=6) for number in range(1, 6)]
    assert running.store("LATER", *sent) == [0] * 5
    for folder in ("folder", "flat"):
        wanted = {content.sop_instance: content for content in sent}
        wait_until(
            lambda folder=folder, wanted=wanted: (  # type: ignore[misc] # a lambda's defaults have no types
                wanted.items() <= {c.sop_instance: c for c in files_in(root / folder).values()}.items()
            ),
            f"all are in {folder}",
            timeout=60,
        )


def test_c_move_into_a_place(running: Stores, root: Path, tmp_path: Path) -> None:
    listener = running.mesh.listeners["cloud"]
    orthanc = Orthanc.start(
        tmp_path / "orthanc",
        ae_title="PACS",
        dicom_port=ORTHANC_PORT,
        modalities={"folder": ("FOLDER", listener), "viewer": ("VIEWER", listener)},
    )
    with orthanc:
        sent = [synthetic(number, 100_000, study=7) for number in range(1, 4)]
        for number, content in enumerate(sent):
            orthanc.post("/instances", write_file(tmp_path / f"{number}.dcm", content).read_bytes())
        query = Dataset()
        query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", f"{UID_ROOT}.7"
        viewer = entity("VIEWER")
        viewer.add_requested_context(StudyRootQueryRetrieveInformationModelMove)
        with scu(viewer, running.entry, called="PACS") as association:
            *_, (final, _) = association.send_c_move(
                query, "FOLDER", StudyRootQueryRetrieveInformationModelMove
            )
        assert (final.Status, final.NumberOfCompletedSuboperations) == (0, 3)
        names = {named(content, 7) for content in sent}
        wait_until(lambda: names <= files_in(root / "folder").keys(), "all have come", timeout=60)


def test_a_big_object_takes_little_memory(running: Stores, root: Path) -> None:
    content = enhanced_ct(1, 200_000_000, study=8)
    assert running.store("FOLDER", content) == [0]
    assert files_in(root / "folder")[named(content, 8)] == content
    executor = running.mesh.memory(peak=True)["cloud/scu"]
    assert executor < 160 << 20, executor
