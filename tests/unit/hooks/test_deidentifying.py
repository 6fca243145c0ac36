"""De-identification after PS3.15 Annex E: every row of its table, its options, and the same pseudonyms everywhere."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dimse_mesh.hooks import HookFailed
from dimse_mesh.hooks.chain import Chain
from dimse_mesh.runtime.settings_hooks import Hook
from tests.unit.hooks.test_chain import decode, encode
from tests.unit.hooks.test_splitting import FILES, data_set, parsed

CANARY = "CANARY"
VALUES: dict[str, Any] = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), CANARY),
    "AS": "044Y",
    "DA": "20240229",
    "DT": "20240229101112.5",
    "TM": "101112",
    "UI": "1.2.826.0.1.3680043.8.498.1",
    "UR": "http://canary/CANARY",
    "DS": "77",
    "IS": "77",
    "FL": 77.0,
    "FD": 77.0,
    "US": 77,
    "OB": b"CANARY",
    "UN": b"CANARY",
}
ROWS = [
    line.split("\t")
    for line in Path("common/dimse_mesh/hooks/profile.tsv").read_text().splitlines()
    if not line.startswith("#")
]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    made = tmp_path / "key"
    made.write_bytes(bytes(range(32)))
    made.chmod(0o600)
    return made


def deidentified(dataset: Dataset, key: Path, **settings: Any) -> Dataset:
    """De-identify an object, by way of its encoding."""
    hook = Hook.model_validate({"deidentify": {"key_file": str(key), **settings}})
    result = Chain([hook]).apply(encode(dataset), "1.2.840.10008.1.2.1")
    return decode(result.header + result.trailer)


def base(instance: str = "1.2.3.4") -> Dataset:
    """Return the least that an object has."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", instance
    return dataset


def every_attribute() -> Dataset:
    """Return an object with a value that names somebody in each attribute that the table lists."""
    dataset = base()
    for tag, action, *_ in ROWS:
        number = 0 if "x" in tag else int(tag, 16)
        if number <= 0x0008_0005 or not dictionary_has_tag(number) or number == 0x00420011:
            continue
        vr = dictionary_VR(number).split(" or ")[0]
        if vr == "SQ":
            item = Dataset()
            if action != "X/Z/U*":  # what stays in those is references
                item.CodeMeaning, item.TextValue, item.DateTime = CANARY, CANARY, "20240229"
            item.PatientName = CANARY
            item.ReferencedSOPInstanceUID = VALUES["UI"]
            dataset.add_new(number, vr, Sequence([item]))
        else:
            dataset.add_new(number, vr, VALUES[vr])
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.private_block(0x0019, "CANARY", create=True).add_new(1, "LO", CANARY)
    dataset.add_new(0x60003000, "OW", b"CANARY")
    dataset.add_new(0x50000010, "US", 77)
    return dataset


def test_nothing_of_the_table_is_left(key: Path) -> None:
    dataset = every_attribute()
    assert len(dataset) > 600
    found = deidentified(dataset, key)
    left = encode(found)
    for trace in (b"CANARY", b"20240229", b"3680043", b"101112", b"044Y"):
        assert trace not in left, trace
    actions = {int(row[0], 16): row[1] for row in ROWS if "x" not in row[0]}
    for tag, action in actions.items():
        if tag not in dataset:
            continue
        if action == "X":
            assert tag not in found, hex(tag)
        elif tag in found and found[tag].VR != "SQ" and tag not in {0x00100010, 0x00100020}:
            value = found[tag].value
            is_empty = value is None or str(value) in {"", "b''"}
            assert is_empty == (action in {"Z", "X/Z"}), (hex(tag), action, value)
        else:
            assert tag in found, hex(tag)
    assert found.PatientIdentityRemoved == "YES"
    assert found.LongitudinalTemporalInformationModified == "REMOVED"
    assert [code.CodeValue for code in found.DeidentificationMethodCodeSequence] == ["113100"]


def test_files_of_the_field_lose_their_names(key: Path) -> None:
    names = set()
    for name in FILES:
        encoded, syntax = data_set(name)
        if name == "UN_sequence.dcm":
            continue
        extent = parsed(encoded, syntax)
        hook = Hook.model_validate({"deidentify": {"key_file": str(key)}})
        result = Chain([hook]).apply(extent.header + extent.trailer, syntax)
        before = decode(extent.header + extent.trailer, syntax)
        after = result.header + result.trailer
        for keyword in (
            "PatientName",
            "PatientID",
            "StudyInstanceUID",
            "SOPInstanceUID",
            "ReferringPhysicianName",
        ):
            value = str(before.get(keyword) or "")
            if len(value) > 3:
                assert value.encode("latin-1") not in after, (name, keyword)
                names.add(value)
        assert decode(after, syntax).PatientIdentityRemoved == "YES"
        assert decode(after, syntax).SOPInstanceUID == result.sop_instance
    assert len(names) > 15


def test_uids_are_the_same_in_every_object_and_sequence(key: Path) -> None:
    first, second = base("1.2.3.1"), base("1.2.3.2")
    first.StudyInstanceUID = second.StudyInstanceUID = "1.2.3"
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = first.SOPClassUID, "1.2.3.1"
    second.ReferencedImageSequence = Sequence([item])
    outer = Dataset()
    outer.ReferencedImageSequence = Sequence([item])
    second.SharedFunctionalGroupsSequence = Sequence([outer])
    one, two = deidentified(first, key), deidentified(second, key)
    assert one.StudyInstanceUID == two.StudyInstanceUID
    assert one.SOPInstanceUID == two.ReferencedImageSequence[0].ReferencedSOPInstanceUID
    nested = two.SharedFunctionalGroupsSequence[0].ReferencedImageSequence[0]
    assert nested.ReferencedSOPInstanceUID == one.SOPInstanceUID
    assert nested.ReferencedSOPClassUID == first.SOPClassUID
    assert deidentified(first, key) == one, "a retry makes the same object"
    assert re.fullmatch(r"2\.25\.[1-9]\d{30,38}", one.SOPInstanceUID)


def patient() -> Dataset:
    """Return an object in which each option finds something."""
    dataset = base()
    dataset.PatientName, dataset.PatientID, dataset.PatientAge, dataset.PatientSex = (
        "Doe^J",
        "42",
        "093Y",
        "F",
    )
    dataset.StudyInstanceUID, dataset.StudyDate, dataset.StudyTime = "1.2.3", "20240229", "101112"
    dataset.AcquisitionDateTime = "20240229101112.5+0100"
    dataset.DeviceSerialNumber, dataset.InstitutionName = "SN-1", "General"
    dataset.StudyDescription, dataset.SeriesDescription = "CHEST W/O", "Mr Doe's chest"
    dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", "1000")
    dataset.private_block(0x0019, "SIEMENS MR HEADER").add_new(0x0D, "CS", "NONE")
    dataset.private_block(0x0021, "OURS", create=True).add_new(0x01, "LO", "ours")
    dataset.private_block(0x0029, "THEIRS", create=True).add_new(0x01, "LO", "theirs")
    return dataset


def test_without_options(key: Path) -> None:
    found = deidentified(patient(), key)
    assert str(found.PatientName) != "Doe^J"
    assert found.PatientID not in {"42", ""}
    assert not found.StudyDate
    for keyword in ("DeviceSerialNumber", "InstitutionName", "PatientAge", "StudyDescription"):
        assert keyword not in found or found[keyword].value in {"", "REMOVED"}, keyword
    assert [tag for tag in found.keys() if tag.is_private] == []  # noqa: SIM118


def test_retain_options(key: Path) -> None:
    options = [
        "retain-uids",
        "retain-device-identity",
        "retain-institution-identity",
        "retain-patient-characteristics",
        "retain-longitudinal-full-dates",
    ]
    found = deidentified(patient(), key, options=options)
    assert (found.SOPInstanceUID, found.StudyInstanceUID) == ("1.2.3.4", "1.2.3")
    assert (found.DeviceSerialNumber, found.InstitutionName) == ("SN-1", "General")
    assert (found.PatientSex, found.PatientAge) == ("F", "090Y"), "nobody is older than 89"
    assert (found.StudyDate, found.AcquisitionDateTime) == ("20240229", "20240229101112.5+0100")
    assert found.LongitudinalTemporalInformationModified == "UNMODIFIED"
    codes = {code.CodeValue for code in found.DeidentificationMethodCodeSequence}
    assert codes == {"113100", "113106", "113108", "113109", "113110", "113112"}


def test_modified_dates_keep_their_distances_for_each_patient(key: Path) -> None:
    def dates(patient_id: str, study: str) -> tuple[str, str]:
        dataset = patient()
        dataset.PatientID, dataset.StudyDate = patient_id, study
        found = deidentified(dataset, key, options=["retain-longitudinal-modified-dates"])
        assert found.StudyTime == "101112"
        assert found.LongitudinalTemporalInformationModified == "MODIFIED"
        return found.StudyDate, found.AcquisitionDateTime

    days = [datetime.strptime(dates("42", day)[0], "%Y%m%d") for day in ("20240229", "20240307")]
    assert (days[1] - days[0]).days == 7
    assert dates("42", "20240229")[0] != "20240229"
    assert dates("42", "20240229")[1][8:] == "101112.5+0100"
    assert dates("42", "20240229") != dates("43", "20240229")
    assert dates("42", "2024")[0] == "", "what is no whole date is taken away"


def test_descriptors_stay_only_where_they_are_known_to_be_safe(key: Path) -> None:
    found = deidentified(patient(), key, options=["clean-descriptors"], descriptors=["CHEST( W/O)?"])
    assert found.StudyDescription == "CHEST W/O"
    assert "SeriesDescription" not in found


def test_safe_private_elements_stay(key: Path) -> None:
    found = deidentified(patient(), key, options=["retain-safe-private"], safe_private=["(0021,OURS,01)"])
    assert found.private_block(0x0019, "SIEMENS MR HEADER")[0x0C].value == 1000
    assert found.private_block(0x0021, "OURS")[1].value == "ours"
    assert b"theirs" not in encode(found).lower()


def content(value_type: str, code: str, **values: Any) -> Dataset:
    """Return a content item."""
    concept, item = Dataset(), Dataset()
    concept.CodeValue, concept.CodingSchemeDesignator, concept.CodeMeaning = code, "DCM", "meaning"
    item.ValueType, item.ConceptNameCodeSequence = value_type, Sequence([concept])
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def report() -> Dataset:
    """Return a structured report."""
    dataset = patient()
    inner = [content("TEXT", "121106", TextValue="Mr Doe"), content("NUM", "112039")]
    dataset.ContentSequence = Sequence(
        [
            content("CONTAINER", "121111", ContentSequence=Sequence(inner)),
            content("PNAME", "121008", PersonName="Doe^J"),
            content("CODE", "121032"),
            content("UIDREF", "112040", UID="1.2.3.9"),
        ]
    )
    return dataset


def test_structured_content(key: Path) -> None:
    cleaned = deidentified(report(), key, options=["clean-structured-content"])
    kinds = [item.ValueType for item in cleaned.ContentSequence]
    assert kinds == ["CONTAINER", "UIDREF"]
    assert [item.ValueType for item in cleaned.ContentSequence[0].ContentSequence] == ["NUM"]
    assert cleaned.ContentSequence[1].UID.startswith("2.25.")
    dummy = deidentified(report(), key)
    assert dummy.ContentSequence[0].ContentSequence[0].TextValue == "REMOVED"
    assert b"Doe" not in encode(dummy)


@pytest.mark.parametrize(
    ("says", "settings", "refused"),
    [
        ("YES", {}, True),
        ("NO", {}, False),
        (None, {}, False),
        (None, {"burned_in": "refuse-unless-no"}, True),
        ("NO", {"burned_in": "refuse-unless-no"}, False),
        ("YES", {"burned_in": "allow"}, False),
    ],
)
def test_burned_in_annotation(key: Path, says: str | None, settings: dict[str, str], refused: bool) -> None:
    dataset = patient()
    if says is not None:
        dataset.BurnedInAnnotation = says
    if refused:
        with pytest.raises(HookFailed, match="Burned In Annotation"):
            deidentified(dataset, key, **settings)
    else:
        assert deidentified(dataset, key, **settings).PatientIdentityRemoved == "YES"


def test_an_encapsulated_document_is_refused(key: Path) -> None:
    dataset = patient()
    dataset.add(DataElement(0x00420011, "OB", b"%PDF"))
    with pytest.raises(HookFailed, match="encapsulated document"):
        deidentified(dataset, key)


def test_key_files_are_checked(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"short")
    key.chmod(0o600)
    with pytest.raises(HookFailed, match="at least 32"):
        deidentified(patient(), key)
    key.write_bytes(bytes(32))
    key.chmod(0o640)
    with pytest.raises(HookFailed, match="chmod 600"):
        deidentified(patient(), key)
