"""DCMTK's findscu, movescu and getscu through two zones against dcmqrscp and wlmscpfs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import dcmtk
from tests.support.files import DicomFile, data_sets, synthetic, take_apart, write_file
from tests.support.mesh import Ae
from tests.support.scripted import Server
from tests.support.way import Way
from tests.support.wire import Command, Tag

STUDIES = 3
OBJECTS = 4


@dataclass(frozen=True, slots=True)
class Archive:
    """A dcmqrscp with a few studies in it."""

    ae: Ae
    objects: dict[str, DicomFile]

    def study(self, number: int) -> dict[str, DicomFile]:
        """Return the objects of one study by SOP instance UID."""
        return {uid: item for uid, item in self.objects.items() if f".9999.{number}." in uid}


def study_uid(number: int) -> str:
    return f"1.2.826.0.1.3680043.9.9999.{number}"


@contextmanager
def archive(ae: Ae, directory: Path, destinations: dict[str, int]) -> Iterator[Archive]:
    """Run dcmqrscp as `ae`, filled by a direct storescu."""
    child, _ = dcmtk.dcmqrscp(
        directory, ae_title=ae.title, destinations=destinations, port=ae.port, env=dcmtk.NO_DELAY
    )
    with child:
        objects = [
            synthetic(number, 30_000, study=study)
            for study in range(1, STUDIES + 1)
            for number in range(1, OBJECTS + 1)
        ]
        files = [write_file(directory / f"{index}.dcm", content) for index, content in enumerate(objects)]
        result = dcmtk.storescu(ae.port, *files, called=ae.title, more=["-R"], env=dcmtk.NO_DELAY)
        assert result.code == 0, result.output
        yield Archive(ae, {content.sop_instance: content for content in objects})


@pytest.fixture(params=["cloud", "hospital"])
def far(request: pytest.FixtureRequest, way: Way, tmp_path: Path) -> Iterator[tuple[Archive, Ae]]:
    """An archive in one zone, and an AE of the other zone that it knows as a destination."""
    zone: str = request.param
    other = "hospital" if zone == "cloud" else "cloud"
    with way.borrowed(zone) as pacs, way.borrowed(other) as destination:
        directory = tmp_path / "archive"
        with archive(pacs, directory, {destination.title: way.entry(destination)}) as filled:
            yield filled, destination


def find(port: int, ae: Ae, directory: Path, *options: str) -> list[bytes]:
    """Run findscu and return the data sets of the responses."""
    directory.mkdir()
    result = dcmtk.run(
        "findscu",
        *("-v", "-to", 10, "-X", "-od", directory, "-aec", ae.title, *options, "127.0.0.1", port),
    )
    assert result.code == 0, result.output
    return [take_apart(path).data for path in sorted(directory.iterdir())]


KEYS = {
    "study root, studies": (
        *("-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID=MESH*"),
        *("-k", "StudyInstanceUID", "-k", "StudyDate"),
    ),
    "study root, images": (
        *("-S", "-k", "QueryRetrieveLevel=IMAGE", "-k", f"StudyInstanceUID={study_uid(2)}"),
        *("-k", f"SeriesInstanceUID={study_uid(2)}.1", "-k", "SOPInstanceUID"),
    ),
    "patient root, patients": (
        *("-P", "-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID=*", "-k", "PatientName"),
    ),
    "patient root, nothing found": ("-P", "-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID=NOBODY"),
}


@pytest.mark.parametrize("keys", KEYS)
def test_findscu_gets_what_it_gets_directly(
    way: Way, far: tuple[Archive, Ae], tmp_path: Path, keys: str
) -> None:
    pacs, _ = far
    direct = find(pacs.ae.port, pacs.ae, tmp_path / "direct", *KEYS[keys])
    through = find(way.entry(pacs.ae), pacs.ae, tmp_path / "through", *KEYS[keys])
    assert through == direct
    counts = {"studies": STUDIES, "images": OBJECTS, "patients": 1, "found": 0}
    assert len(direct) == counts[keys.rsplit(maxsplit=1)[-1]]


def test_findscu_of_a_model_that_the_target_refuses_fails_alike(way: Way, far: tuple[Archive, Ae]) -> None:
    pacs, _ = far
    results = [
        dcmtk.run("findscu", "-v", "-W", "-aec", pacs.ae.title, "-k", "PatientName=*", "127.0.0.1", port)
        for port in (pacs.ae.port, way.entry(pacs.ae))
    ]
    assert results[0].code == results[1].code != 0
    assert "No presentation context" in results[1].output or "no acceptable" in results[1].output.lower()


def test_getscu_retrieves_a_study_to_the_byte(way: Way, far: tuple[Archive, Ae], received: Path) -> None:
    pacs, _ = far
    result = dcmtk.run(
        *("getscu", "-v", "-to", 10, "-S", "+B", "-od", received, "-aec", pacs.ae.title),
        *("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study_uid(2)}"),
        *("127.0.0.1", way.entry(pacs.ae)),
    )
    assert result.code == 0, result.output
    got = {uid: item.data for uid, item in data_sets(received).items()}
    assert got == {uid: item.data for uid, item in pacs.study(2).items()}


def move(way: Way, pacs: Archive, destination: str, study: int) -> dcmtk.Result:
    return dcmtk.run(
        *("movescu", "-v", "-to", 10, "-S", "-aem", destination, "-aec", pacs.ae.title, "-aet", "MOVER"),
        *("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study_uid(study)}"),
        *("127.0.0.1", way.entry(pacs.ae)),
    )


def test_movescu_brings_a_study_home_across_the_zones(
    way: Way, far: tuple[Archive, Ae], received: Path
) -> None:
    pacs, destination = far
    child, _ = dcmtk.storescp(received, port=destination.port, ae_title=destination.title)
    with child:
        result = move(way, pacs, destination.title, 3)
    assert result.code == 0, result.output
    got = {uid: item.data for uid, item in data_sets(received).items()}
    assert got == {uid: item.data for uid, item in pacs.study(3).items()}


def test_move_originator_survives(way: Way, far: tuple[Archive, Ae]) -> None:
    pacs, destination = far
    with Server(port=destination.port) as server:
        result = move(way, pacs, destination.title, 1)
        assert result.code == 0, result.output
        server.join()
        (peer,) = server.peers
    assert len(peer.received) == OBJECTS
    for message in peer.received:
        assert message.field == Command.C_STORE
        assert message.text(Tag.MOVE_ORIGINATOR) == "MOVER"
        assert message.number(Tag.MOVE_ORIGINATOR_ID) == 1


def test_move_to_a_destination_that_does_not_answer_fails_as_it_does_directly(
    way: Way, far: tuple[Archive, Ae]
) -> None:
    pacs, destination = far
    result = move(way, pacs, destination.title, 1)
    assert result.code != 0
    assert "0xa8" in result.output.lower() or "0xa7" in result.output.lower() or "Refused" in result.output


def test_move_to_an_unknown_destination_gets_the_archives_own_status(
    way: Way, far: tuple[Archive, Ae]
) -> None:
    pacs, _ = far
    result = move(way, pacs, "NOWHERE", 1)
    assert result.code != 0
    assert "MoveDestinationUnknown" in result.output


WORKLISTS = Path("/usr/share/doc/dcmtk/examples/wlistdb/OFFIS")


@pytest.fixture
def worklist(way: Way, tmp_path: Path) -> Iterator[Ae]:
    """A wlmscpfs in the cloud with DCMTK's example worklists."""
    with way.borrowed() as ae:
        directory = tmp_path / "worklists"
        (directory / ae.title).mkdir(parents=True)
        for dump in sorted(WORKLISTS.glob("*.dump")):
            target = directory / ae.title / f"{dump.stem}.wl"
            assert dcmtk.run("dump2dcm", dump, target).code == 0
        child, _ = dcmtk.wlmscpfs(directory, ae_title=ae.title, port=ae.port)
        with child:
            yield ae


@pytest.mark.parametrize("name", ["*", "VIVALDI*", "NOBODY"])
def test_worklist_query_gets_what_it_gets_directly(way: Way, worklist: Ae, tmp_path: Path, name: str) -> None:
    if not WORKLISTS.is_dir():
        pytest.skip("DCMTK's example worklists are not installed")
    keys = (
        *("-W", "-k", f"PatientName={name}", "-k", "PatientID", "-k", "AccessionNumber"),
        *("-k", "ScheduledProcedureStepSequence[0].Modality"),
        *("-k", "ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartDate"),
    )
    direct = find(worklist.port, worklist, tmp_path / "direct", *keys)
    through = find(way.entry(worklist), worklist, tmp_path / "through", *keys)
    assert through == direct
    assert bool(direct) == (name != "NOBODY")


def test_findscu_cancels_after_two_responses(way: Way, worklist: Ae) -> None:
    result = dcmtk.run(
        *("findscu", "-v", "-W", "--cancel", 2, "-aec", worklist.title, "-k", "PatientName=*"),
        *("127.0.0.1", way.entry(worklist)),
    )
    assert result.code == 0, result.output
    assert "Cancel" in result.output
