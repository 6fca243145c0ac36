"""Whatever a target answers: what can be shown of it is shown, what can't is marked, and nothing else is lost."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dimse_mesh.app.answer import LONGEST_CELL, QueryAnswer, read_answer
from dimse_mesh.app.identifier import QUERY_SYNTAXES, encode_identifier, parse_path
from dimse_mesh.app.raw_data_set import MAX_ELEMENTS, MAX_PROBLEMS
from dimse_mesh.dimse.encoding import EXPLICIT_LE, IMPLICIT_LE

ID = parse_path("PatientID")
UNDEFINED = 0xFFFFFFFF


def implicit(group: int, number: int, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHI", group, number, len(value) if length is None else length) + value


def explicit(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    if vr in (b"OB", b"UN", b"SQ", b"ZZ"):
        return struct.pack("<HH2sHI", group, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


PATIENT_ID = implicit(0x10, 0x20, b"P1")
BIRTH_DATE = implicit(0x10, 0x30, b"19700101")


def read(data: bytes, syntax: str = IMPLICIT_LE) -> QueryAnswer:
    answer = read_answer(data, syntax)
    json.dumps(answer.to_json(), allow_nan=False)
    return answer


def shown(answer: QueryAnswer, keyword: str) -> str:
    return answer.text(parse_path(keyword))


def value(answer: QueryAnswer, tag: str) -> Any:
    return answer.to_json()[tag].get("Value")


@pytest.mark.parametrize("syntax", QUERY_SYNTAXES)
def test_json_is_that_of_pydicom(syntax: str) -> None:
    data_set = Dataset()
    data_set.SpecificCharacterSet = "ISO_IR 192"
    data_set.PatientName = "Müller^A=B=C"
    data_set.OtherPatientNames = ["A^B", "C"]
    data_set.StudyInstanceUID = ["1.2", "1.3"]
    data_set.SliceThickness = "1.50"
    data_set.NumberOfStudyRelatedInstances = "12"
    data_set.Rows = 512
    data_set.FrameIncrementPointer = 0x00181063
    data_set.PixelPaddingValue = 7
    data_set.StudyDescription = None
    data_set.EncapsulatedDocument = b"%PDF"
    step = Dataset()
    step.Modality = "CT"
    data_set.ScheduledProcedureStepSequence = Sequence([step, Dataset()])
    answer = read(encode_identifier(data_set, syntax), syntax)
    assert answer.problems == []
    assert answer.to_json() == data_set.to_json_dict()
    assert shown(answer, "SliceThickness") == "1.50"
    assert shown(answer, "StudyInstanceUID") == "1.2\\1.3"
    assert shown(answer, "PatientName") == "Müller^A=B=C"
    assert shown(answer, "ScheduledProcedureStepSequence.Modality") == "CT"
    assert shown(answer, "ScheduledProcedureStepSequence") == "2 items"
    assert shown(answer, "EncapsulatedDocument") == "4 bytes"
    assert shown(answer, "StudyDescription") == ""
    assert shown(answer, "AccessionNumber") == ""


@pytest.mark.parametrize(
    ("text", "expected"), [("12a ", "12a"), ("1e999 ", "1e999"), ("1,5 ", "1,5"), ("NaN ", "NaN"), ("12", 12)]
)
def test_number_that_is_none_is_text(text: str, expected: str | int) -> None:
    answer = read(PATIENT_ID + implicit(0x20, 0x1208, text.encode()) + implicit(0x28, 0x30, text.encode()))
    assert value(answer, "00201208") == [expected]
    assert value(answer, "00280030") == [expected]
    assert shown(answer, "NumberOfStudyRelatedInstances") == text.strip()
    assert value(answer, "00100020") == ["P1"]


@pytest.mark.parametrize("bits", [b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\0\0\x80\xff"])
def test_number_that_json_lacks_is_text(bits: bytes) -> None:
    answer = read(explicit(0x18, 0x9073, b"FL", bits), EXPLICIT_LE)
    assert value(answer, "00189073")[0] in ("NaN", "inf", "-inf")


def test_bytes_that_are_no_value_are_kept_as_bytes() -> None:
    answer = read(PATIENT_ID + implicit(0x28, 0x10, b"abc") + implicit(0x28, 0x11, b"\1\2"))
    assert answer.to_json()["00280010"] == {"vr": "UN", "InlineBinary": "YWJj"}
    assert value(answer, "00280011") == [513]
    assert shown(answer, "Rows") == "3 bytes"
    assert answer.problems == ["Rows: 3 bytes are no US"]


@pytest.mark.parametrize("cut", range(1, 15))
def test_what_stands_before_the_damage_is_shown(cut: int) -> None:
    answer = read((PATIENT_ID + BIRTH_DATE)[:-cut])
    assert answer.text(ID) == "P1"
    assert len(answer.problems) == 1
    assert shown(answer, "PatientSex") == "?"


def test_length_beyond_the_end_shows_what_is_there() -> None:
    answer = read(PATIENT_ID + implicit(0x10, 0x30, b"1970", length=1000))
    assert shown(answer, "PatientBirthDate") == "1970"
    assert answer.problems == ["PatientBirthDate: 1000 bytes are announced and 4 are there"]


def test_damaged_item_costs_nothing_behind_its_sequence() -> None:
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 12) + PATIENT_ID + b"\1\2"
    broken = implicit(0x40, 0x100, item + b"junk, no item")
    answer = read(PATIENT_ID + broken + implicit(0x88, 0x130, b"after"))
    assert shown(answer, "StorageMediaFileSetID") == "after"
    assert shown(answer, "ScheduledProcedureStepSequence.PatientID") == "P1"
    assert len(answer.problems) == 2


def test_sequence_without_its_end_keeps_its_items() -> None:
    item = struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED) + PATIENT_ID
    answer = read(BIRTH_DATE + implicit(0x40, 0x100, item, length=UNDEFINED))
    assert shown(answer, "ScheduledProcedureStepSequence.PatientID") == "P1"
    assert answer.problems
    assert shown(answer, "PatientBirthDate") == "19700101"


def test_repeated_element_is_shown_once_and_told() -> None:
    answer = read(PATIENT_ID + implicit(0x10, 0x20, b"P2") + BIRTH_DATE)
    assert answer.text(ID) == "P1"
    assert shown(answer, "PatientBirthDate") == "19700101"
    assert answer.problems == ["PatientID: it stands there again; the first one is shown"]


def test_unknown_value_representation_costs_one_element() -> None:
    data = explicit(0x09, 0x10, b"ZZ", b"abcd") + explicit(0x10, 0x20, b"LO", b"P1")
    answer = read(data, EXPLICIT_LE)
    assert answer.text(ID) == "P1"
    assert len(answer.problems) == 1


@pytest.mark.parametrize(
    ("data", "syntax"),
    [(PATIENT_ID, EXPLICIT_LE), (explicit(0x10, 0x20, b"LO", b"P1"), IMPLICIT_LE)],
)
def test_encoding_that_was_not_negotiated_is_read_and_told(data: bytes, syntax: str) -> None:
    answer = read(data, syntax)
    assert answer.text(ID) == "P1"
    assert len(answer.problems) == 1


@pytest.mark.parametrize(
    "character_set",
    ["ISO_IR 4711", "ISO 2022 IR 87", "\\\\", "ISO_IR 192\\ISO 2022 IR 6", "a\0b", "undefined", "hex"],
)
def test_unknown_character_set_loses_no_text(character_set: str) -> None:
    padded = character_set.encode().ljust(len(character_set) + len(character_set) % 2)
    name = implicit(0x10, 0x10, b"M\xfc\x1b$Bller")
    answer = read(implicit(0x08, 0x05, padded) + name + PATIENT_ID)
    assert shown(answer, "PatientName").startswith("M")
    assert answer.text(ID) == "P1"


def test_backslash_within_a_character_parts_no_values() -> None:
    text = "ソ連"  # its first character is 83 5C in Shift JIS
    data = implicit(0x08, 0x05, b"ISO_IR 13 ") + implicit(0x08, 0x1030, text.encode("shift_jis"))
    assert value(read(data), "00081030") == [text]


def test_answer_without_an_identifier_is_marked() -> None:
    answer = read_answer(None, IMPLICIT_LE)
    assert (answer.text(ID), answer.to_json()) == ("?", {})
    assert answer.problems == ["it came without an identifier"]
    assert read(b"").problems == []


def test_huge_value_is_whole_in_json_and_short_in_a_table() -> None:
    answer = read(implicit(0x10, 0x4000, b"x" * 1_000_000))
    assert len(value(answer, "00104000")[0]) == 1_000_000
    assert len(shown(answer, "PatientComments")) < LONGEST_CELL + 50
    assert "1000000 characters" in shown(answer, "PatientComments")


def test_hostile_data_sets_are_bounded() -> None:
    deep = struct.pack("<HHI", 0x40, 0x100, UNDEFINED) + struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
    assert read(PATIENT_ID + deep * 10_000).text(ID) == "P1"
    wide = b"".join(implicit(0x09, 0x1000 + number % 5000, b"") for number in range(MAX_ELEMENTS + 10))
    answer = read(PATIENT_ID + wide)
    assert answer.text(ID) == "P1"
    assert len(answer.problems) == MAX_PROBLEMS


def test_text_of_a_peer_does_not_steer_the_terminal() -> None:
    answer = read(implicit(0x10, 0x20, b"\x1b[2J1\x9b2J\n"))
    assert answer.text(ID) == r"\x1b[2J1\x9b2J\n"


elements = st.builds(
    implicit,
    st.sampled_from([0x08, 0x09, 0x10, 0x20, 0x28, 0x40]),
    st.sampled_from([0x05, 0x10, 0x20, 0x30, 0x100, 0x1208, 0x9999]),
    st.binary(max_size=20),
    st.none() | st.sampled_from([0, 1, 7, 100, UNDEFINED]),
)


@given(
    st.lists(elements, max_size=8).map(b"".join) | st.binary(max_size=200), st.sampled_from(QUERY_SYNTAXES)
)
def test_no_bytes_are_an_error(data: bytes, syntax: str) -> None:
    answer = read(data, syntax)
    for keyword in ("PatientID", "PatientName", "ScheduledProcedureStepSequence.Modality"):
        assert shown(answer, keyword).isprintable()
    assert all(problem.isprintable() for problem in answer.problems)


@given(st.lists(elements, max_size=5).map(b"".join))
def test_first_element_survives_whatever_follows(rest: bytes) -> None:
    assert read(PATIENT_ID + rest).text(ID) == "P1"
