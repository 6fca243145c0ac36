"""Keys on the command line become identifiers; answers become text that a terminal can be trusted with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.app.identifier import (
    build_identifier,
    columns,
    decode_identifier,
    encode_identifier,
    parse_path,
    title,
)
from dimse_mesh.app.query_models import (
    MODELS,
    RETURN_KEYS,
    WORKLIST_KEYS,
    Level,
    ModelName,
    level_for,
)
from dimse_mesh.dimse.encoding import EXPLICIT_LE, IMPLICIT_LE
from dimse_mesh.runtime.settings_errors import ConfigurationError


def test_keys_match_and_those_without_a_value_are_returned() -> None:
    identifier = build_identifier(["PatientName=A*", "StudyDate=20240101-20241231", "PatientID"], "STUDY")
    assert identifier.PatientName == "A*"
    assert identifier.StudyDate == "20240101-20241231"
    assert identifier["PatientID"].is_empty
    assert identifier.QueryRetrieveLevel == "STUDY"
    assert "SpecificCharacterSet" not in identifier


def test_default_keys_do_not_overwrite_the_users() -> None:
    identifier = build_identifier(["PatientID=1"], "STUDY", ["PatientID", "PatientName"])
    assert identifier.PatientID == "1"
    assert identifier["PatientName"].is_empty


@pytest.mark.parametrize("word", ["0010,0020", "(0010,0020)", "00100020", "PatientID"])
def test_tags_are_keywords_too(word: str) -> None:
    assert build_identifier([f"{word}=7"]).PatientID == "7"


@pytest.mark.parametrize("word", ["ScheduledProcedureStepSequence[0].Modality", "0040,0100.0008,0060"])
def test_keys_reach_into_sequences(word: str) -> None:
    identifier = build_identifier([f"{word}=CT", "ScheduledProcedureStepSequence.ScheduledStationAETitle=A"])
    (item,) = identifier.ScheduledProcedureStepSequence
    assert (item.Modality, item.ScheduledStationAETitle) == ("CT", "A")


def test_several_values_and_numbers() -> None:
    identifier = build_identifier(["StudyInstanceUID=1.2\\1.3", "Rows=512", "SliceThickness=1.5"])
    assert identifier.StudyInstanceUID == ["1.2", "1.3"]
    assert identifier.Rows == 512
    for syntax in (EXPLICIT_LE, IMPLICIT_LE):
        assert decode_identifier(encode_identifier(identifier, syntax), syntax) == identifier


def test_text_beyond_ascii_names_its_character_set() -> None:
    identifier = build_identifier(["PatientName=Müller*"])
    assert identifier.SpecificCharacterSet == "ISO_IR 192"
    decoded = decode_identifier(encode_identifier(identifier, IMPLICIT_LE), IMPLICIT_LE)
    assert decoded.PatientName == "Müller*"


def test_every_mistake_is_told_at_once() -> None:
    keys = [
        "PatentName=1",
        "Rows=a",
        "PatientID.Modality=1",
        "ScheduledProcedureStepSequence=1",
        "PixelData=1",
    ]
    with pytest.raises(ConfigurationError) as caught:
        build_identifier(keys)
    assert [problem.partition(": ")[2] for problem in caught.value.problems] == [
        "unknown keyword 'PatentName'; did you mean 'PatientName'?",
        "'a' is no number",
        "PatientID is no sequence",
        "a sequence takes no value: give SEQUENCE.KEYWORD=VALUE",
        "values of OB can't be matched",
    ]


@pytest.mark.parametrize("level", list(Level))
def test_default_keys_are_in_the_dictionary(level: Level) -> None:
    assert len(build_identifier([], level, RETURN_KEYS[level])) == len(RETURN_KEYS[level]) + 1


def test_columns_of_a_worklist_lie_within_its_sequence() -> None:
    paths = columns(build_identifier([], more=WORKLIST_KEYS))
    assert len(paths) == len(WORKLIST_KEYS)
    assert "ScheduledStationAETitle" in [title(path) for path in paths]


def test_counts_have_short_titles() -> None:
    assert title(parse_path("NumberOfStudyRelatedInstances")) == "Instances"


@given(st.binary(max_size=200), st.sampled_from([EXPLICIT_LE, IMPLICIT_LE]))
def test_damaged_identifiers_are_only_value_errors(data: bytes, syntax: str) -> None:
    try:
        decode_identifier(data, syntax)
    except ValueError:
        return


def test_level_follows_from_the_keys() -> None:
    model = ModelName.STUDY
    assert level_for(model, None, []) is Level.STUDY
    assert level_for(model, None, ["StudyInstanceUID=1", "SeriesInstanceUID=2"]) is Level.SERIES
    assert level_for(model, Level.STUDY, ["SeriesInstanceUID=2"]) is Level.STUDY
    assert level_for(ModelName.PATIENT, None, []) is Level.PATIENT


@pytest.mark.parametrize(("model", "level"), [(ModelName.STUDY, Level.PATIENT), (ModelName.WORKLIST, None)])
def test_level_that_the_model_lacks_is_refused(model: ModelName, level: Level | None) -> None:
    with pytest.raises(ConfigurationError):
        level_for(model, level, [])


def test_sop_classes_are_those_of_the_standard() -> None:
    from pydicom.uid import UID

    for model in MODELS.values():
        for sop_class, word in ((model.find, "FIND"), (model.move, "MOVE"), (model.get, "GET")):
            assert not sop_class or UID(sop_class).name.endswith(word)
