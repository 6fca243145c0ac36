"""Query files, lists and states of a cohort: what is read, what is refused, what survives."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest

from dimse_mesh.app.cohort_list import ListedStudy, read_list, write_list
from dimse_mesh.app.cohort_query import Pacs, load_query
from dimse_mesh.app.cohort_state import StudyStatus, alone, load_state, state_path
from dimse_mesh.runtime.settings_errors import ConfigurationError


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_lists_of_values_are_one_find_each(tmp_path: Path) -> None:
    text = "pacs: [{ae_title: A}]\nfind:\n- {Modality: [CT, MR], StudyDate: 20200101}\n- {PatientID: 7}\n"
    query = load_query(written(tmp_path / "q.yaml", text))
    assert list(query.finds()) == [
        {"Modality": "CT", "StudyDate": "20200101"},
        {"Modality": "MR", "StudyDate": "20200101"},
        {"PatientID": "7"},
    ]


def test_values_are_what_stands_there_and_no_numbers(tmp_path: Path) -> None:
    find = "{PatientID: 0012, AccessionNumber: [1_000, 1e3], Modality: }"
    text = f"pacs: [{{ae_title: 007, limit: 10}}]\nfind:\n- {find}\n"
    query = load_query(written(tmp_path / "q.yaml", text))
    assert query.pacs == (Pacs(ae_title="007", limit=10),)
    assert list(query.finds()) == [
        {"PatientID": "0012", "AccessionNumber": "1_000", "Modality": ""},
        {"PatientID": "0012", "AccessionNumber": "1e3", "Modality": ""},
    ]


@pytest.mark.parametrize(
    "text",
    ["PatientID;StudyDate\r\n0012;20240131\r\n;\r\n", "PatientID,StudyDate\n0012,20240131,x\n"],
)
def test_a_row_of_a_csv_file_is_one_find(tmp_path: Path, text: str) -> None:
    query = load_query(written(tmp_path / "q.csv", f"\ufeff{text}"), ("A",))
    assert list(query.finds()) == [{"PatientID": "0012", "StudyDate": "20240131"}]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pacs: [{ae_title: A}]\nfind: [{Modalty: CT}]\n", "did you mean 'Modality'"),
        ("pacs: [{ae_title: A}]\nfind: [{StudyDate: 2024-01-31}]\n", "StudyDate: '2024-01-31' is no date"),
        ("pacs: [{ae_title: A}]\nfind: [{StudyDate: [20240131, 31.1.2024]}]\n", "'31.1.2024' is no date"),
        ("- {ae_title: A}\n", "the file holds a list; fields are wanted"),
        ("find: [{Modality: CT}]\n", "no PACS"),
        ("pacs: [{ae_title: A}]\nfind: [{Modality: ''}]\n", "every study"),
        ("pacs: [{ae_title: A, hours: [night]}]\nfind: [{Modality: CT}]\n", "HH:MM"),
        ("pacs: [{ae_title: A}, {ae_title: A}]\nfind: [{Modality: CT}]\n", "twice"),
        ("pacs: [{ae_title: A}]\n", "find: required"),
        ("pacs: [{ae_title: A}]\nfind: []\n", "find"),
    ],
)
def test_queries_that_are_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        load_query(written(tmp_path / "q.yaml", text))


@pytest.mark.parametrize(
    ("hours", "now", "allowed"),
    [
        ((), time(12), True),
        (("18:00-06:00",), time(18), True),
        (("18:00-06:00",), time(5, 59), True),
        (("18:00-06:00",), time(6), False),
        (("08:00-12:00", "13:00-14:00"), time(12, 30), False),
        (("08:00-12:00", "13:00-24:00"), time(23, 59), True),
    ],
)
def test_hours(hours: tuple[str, ...], now: time, allowed: bool) -> None:
    assert Pacs(ae_title="A", hours=hours).allows(now) is allowed


def test_a_list_comes_back_as_written(tmp_path: Path) -> None:
    studies = [
        ListedStudy("yes", "PACS", "1.2.3", "20200101", "CT\\SR", 'THORAX, "low" dose', "A1", "P1", "7"),
        ListedStudy("no", "PACS", "1.2.4"),
    ]
    write_list(tmp_path / "list.csv", studies)
    assert read_list(tmp_path / "list.csv") == studies
    assert [study.wanted for study in studies] == [True, False]


def test_a_description_is_no_formula(tmp_path: Path) -> None:
    write_list(tmp_path / "list.csv", [ListedStudy("yes", "PACS", "1.2.3", description="=cmd()")])
    assert "'=cmd()" in (tmp_path / "list.csv").read_text()


@pytest.mark.parametrize(
    "row", ["yes,PACS,../x", "yes,,1.2.3", "maybe,PACS,1.2.3", "yes,PACS,1.2\nyes,PACS,1.2"]
)
def test_lists_that_are_refused(tmp_path: Path, row: str) -> None:
    with pytest.raises(ConfigurationError):
        read_list(written(tmp_path / "list.csv", f"pull,pacs,study_instance_uid\n{row}\n"))


def test_a_list_may_come_from_a_spreadsheet(tmp_path: Path) -> None:
    text = "\ufeffpull;pacs;study_instance_uid;description\r\nno;PACS;1.2.3;=cmd()\r\n;PACS;1.2.4;\r\n"
    first, second = read_list(written(tmp_path / "list.csv", text))
    assert first == ListedStudy("no", "PACS", "1.2.3", description="=cmd()")
    assert second.wanted


def test_what_is_no_list_is_told_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_list(written(tmp_path / "list.csv", "PatientID\n1\n2\n"))
    assert caught.value.problems == [
        f"{tmp_path}/list.csv: there is no column pull, pacs, study_instance_uid"
    ]


def test_a_state_is_for_one_destination_and_one_run(tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    state = load_state(listed, "AE A")
    state.of("1.2").status = StudyStatus.COMPLETE
    state.save()
    assert load_state(listed).of("1.2").status is StudyStatus.COMPLETE
    with pytest.raises(ConfigurationError, match="copy the list"):
        load_state(listed, "AE B")
    with alone(listed), pytest.raises(ConfigurationError, match="already"), alone(listed):
        pass
    state_path(listed).write_text("{")
    with pytest.raises(ConfigurationError, match="no state"):
        load_state(listed)
