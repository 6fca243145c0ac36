"""`dimse-mesh cohort` against a real PACS that limits its answers: from a query to a folder, whatever is killed."""

from __future__ import annotations

import csv
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.cohort.site import FOLDER, LIMIT, PACS, CohortSite, cohort_site, study_of, study_uid
from tests.support.files import DicomFile
from tests.support.process import wait_until

STUDIES, INSTANCES = 14, 3
QUERY = {
    "pacs": [{"ae_title": PACS, "associations": 2, "limit": LIMIT}],
    "find": [{"ModalitiesInStudy": "CT", "StudyDate": "20200101-20231231"}],
}


def dated(study: int) -> str:
    return f"202{study % 3}{study % 12 + 1:02}{study % 28 + 1:02}"


@pytest.fixture(scope="module")
def objects() -> dict[str, DicomFile]:
    contents = [
        content
        for study in range(1, STUDIES + 1)
        for content in study_of(study, INSTANCES, date=dated(study))
    ]
    return {content.sop_instance: content for content in contents}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, objects: dict[str, DicomFile]) -> Iterator[CohortSite]:
    with cohort_site(tmp_path_factory.mktemp("cohort")) as started:
        started.upload(list(objects.values()))
        started.upload(study_of(100, 2, date="20190101"))
        yield started


@pytest.fixture
def site(filled: CohortSite, tmp_path: Path) -> CohortSite:
    """The site with a list of its own."""
    filled.listed = tmp_path / "cohort.csv"
    return filled


def rows(site: CohortSite) -> list[dict[str, str]]:
    with site.listed.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("told", [LIMIT, 0])
def test_find_lists_more_than_the_pacs_gives_at_once(site: CohortSite, told: int) -> None:
    """With the limit in the query file, and by what the PACS says itself."""
    said = site.find({**QUERY, "pacs": [{"ae_title": PACS, "limit": told}]})
    assert f"{STUDIES} studies" in said
    assert {row["study_instance_uid"] for row in rows(site)} == {
        study_uid(study) for study in range(1, STUDIES + 1)
    }
    assert {row["instances"] for row in rows(site)} == {str(INSTANCES)}


def test_find_by_a_csv_file(site: CohortSite, tmp_path: Path) -> None:
    query = tmp_path / "numbers.csv"
    query.write_text("AccessionNumber,StudyDate\nACC3,\nACC5,\nACC100,20200101-\nACC999,\n")
    site.cohort("find", query, "--pacs", PACS, "--output", site.listed)
    assert [row["study_instance_uid"] for row in rows(site)] == [study_uid(3), study_uid(5)]


def test_pull_into_a_folder_by_c_get(site: CohortSite, tmp_path: Path) -> None:
    site.find({**QUERY, "find": [{"AccessionNumber": ["ACC1", "ACC2", "ACC3"]}]})
    table = rows(site)
    assert len(table) == 3
    site.listed.write_text(
        site.listed.read_text().replace("yes,PACS," + study_uid(2), "no,PACS," + study_uid(2))
    )
    site.cohort("pull", site.listed, "--output", tmp_path / "files", "--sop-class", "CT")
    files = sorted(path.relative_to(tmp_path / "files") for path in (tmp_path / "files").rglob("*.dcm"))
    assert len(files) == 2 * INSTANCES
    assert {path.parts[0] for path in files} == {study_uid(1), study_uid(3)}
    assert site.report()["totals"] == {
        "studies": 2, "waiting": 0, "complete": 2, "incomplete": 0, "failed": 0,
        "expected": 2 * INSTANCES, "arrived": 2 * INSTANCES, "missing": 0,
    }  # fmt: skip
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "files").rglob("*.dcm")}
    site.cohort("pull", site.listed, "--output", tmp_path / "files", "--sop-class", "CT")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "files").rglob("*.dcm")} == before


def kill_in_mid_pull(site: CohortSite, number: int, kill: Callable[[], None], done: int = 0) -> None:
    """Kill something, and the command, when one more study than now, or than `done`, has come."""
    done = max(done, site.completed)
    pull = site.begin_pull(number, "--wait", "0.2", "--attempts", "20")
    wait_until(lambda: site.completed > done or pull.returncode is not None, "studies have come", timeout=300)
    kill()
    pull.send_signal(signal.SIGKILL)
    pull.stop()


def test_pull_is_complete_whatever_is_killed(site: CohortSite, objects: dict[str, DicomFile]) -> None:
    site.find(QUERY)
    kill_executor = partial(site.kill_service, "cloud/scu")
    kills: tuple[Callable[[], None], ...] = (site.kill_pacs, kill_executor, lambda: None)
    for number, kill in enumerate(kills):
        kill_in_mid_pull(site, number, kill)
    site.cohort("pull", site.listed, "--to", FOLDER, "--wait", "0.5", "--attempts", "20")
    assert site.stored().keys() == objects.keys()
    totals = site.report()["totals"]
    assert (totals["complete"], totals["missing"]) == (STUDIES, 0)
    assert totals["arrived"] == len(objects)


def test_what_is_new_is_pulled_by_a_second_run(site: CohortSite) -> None:
    site.find({**QUERY, "find": [{"StudyInstanceUID": study_uid(50)}, {"StudyInstanceUID": study_uid(51)}]})
    assert rows(site) == []
    first = study_of(50, 2, date="20230101")
    site.upload(first)
    query = {**QUERY, "find": [{"AccessionNumber": ["ACC50", "ACC51"]}]}
    assert "1 studies" in site.find(query)
    site.cohort("pull", site.listed, "--to", FOLDER)
    site.upload(study_of(50, 3, date="20230101")[2:])
    site.upload(study_of(51, 1, date="20230101"))
    assert "2 studies" in site.find(query)
    assert "2 complete; 4 of 4 instances" in site.cohort("pull", site.listed, "--to", FOLDER)


def test_what_can_not_be_had_is_in_the_report(site: CohortSite) -> None:
    site.find({**QUERY, "find": [{"AccessionNumber": "ACC1"}]})
    gone = f"yes,PACS,{study_uid(77)},,,,,,\nyes,ABSENT,{study_uid(78)},,,,,,\n"
    site.listed.write_text(site.listed.read_text() + gone)
    site.cohort("pull", site.listed, "--to", "UNKNOWN", "--attempts", "2", "--wait", "0", code=1)
    report = site.report(code=1)
    why = {row["study_instance_uid"]: row["why"] for row in report["studies"]}
    assert "status" in why[study_uid(1)]
    assert why[study_uid(77)] == "the PACS has no such study"
    assert "called-ae-title-not-recognized" in why[study_uid(78)]
    assert report["totals"]["failed"] == 3
    other = site.cohort("pull", site.listed, "--to", FOLDER, code=2)
    assert "is being pulled to AE UNKNOWN" in other


def test_hours_that_a_pacs_does_not_allow(site: CohortSite) -> None:
    from datetime import datetime, timedelta

    begin = datetime.now() + timedelta(hours=2)
    hours = f"{begin:%H:%M}-{begin + timedelta(hours=2):%H:%M}"
    site.find({"pacs": [{"ae_title": PACS, "hours": [hours]}], "find": [{"AccessionNumber": "ACC1"}]})
    said = site.cohort("pull", site.listed, "--to", FOLDER, "--no-wait-for-hours", code=1)
    assert "it is not the hour for it" in said
    assert site.report(code=1)["totals"]["waiting"] == 1
