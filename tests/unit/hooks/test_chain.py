"""What hooks make of data sets, and what they say when they fail."""

from __future__ import annotations

import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from dimse_mesh.dimse.encoding import DEFLATED_EXPLICIT_LE, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE
from dimse_mesh.hooks import HookFailed
from dimse_mesh.hooks.chain import Chain
from dimse_mesh.runtime.settings_hooks import Hook
from tests.unit.hooks.test_splitting import FILES, data_set, parsed


def made() -> Dataset:
    """Return a small object with sequences and private elements."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3.4"
    dataset.PatientName, dataset.PatientID, dataset.PatientSex = "Doe^John", "42", "M"
    dataset.StudyInstanceUID = "1.2.3"
    dataset.OtherPatientNames = ["A^B", "C^D"]
    items = []
    for number in range(2):
        item = Dataset()
        item.ScheduledProcedureStepID = f"step {number}"
        item.AccessionNumber = "17"
        items.append(item)
    dataset.RequestAttributesSequence = Sequence(items)
    dataset.private_block(0x0019, "OURS", create=True).add_new(0x01, "LO", "secret")
    return dataset


def encode(dataset: Dataset, syntax: str = EXPLICIT_LE) -> bytes:
    """Return a data set's encoding."""
    target = DicomBytesIO()
    target.is_implicit_VR, target.is_little_endian = syntax == IMPLICIT_LE, syntax != EXPLICIT_BE
    write_dataset(target, dataset)
    return target.getvalue()


def decode(encoded: bytes, syntax: str = EXPLICIT_LE) -> Dataset:
    """Return the data set of an encoding."""
    return read_dataset(BytesIO(encoded), syntax == IMPLICIT_LE, syntax != EXPLICIT_BE)


def hooked(*hooks: dict[str, Any], dataset: Dataset | None = None, syntax: str = EXPLICIT_LE) -> Dataset:
    """Apply hooks to an object."""
    chain = Chain([Hook.model_validate(hook) for hook in hooks])
    return decode(chain.apply(encode(dataset or made(), syntax), syntax).header, syntax)


@pytest.mark.parametrize("syntax", [EXPLICIT_LE, IMPLICIT_LE, EXPLICIT_BE])
def test_set_in_the_data_set_in_items_and_in_private_blocks(syntax: str) -> None:
    found = hooked(
        {
            "set": {
                "PatientName": "Nobody",
                "(0010,0040)": None,
                "RequestAttributesSequence[*].AccessionNumber": "99",
                "RequestAttributesSequence[0].ScheduledProcedureStepID": "first",
                "(0019,OURS,01)": {"vr": "LO", "value": "open"},
                "(0021,THEIRS,05)": {"vr": "LO", "value": "new"},
                "OtherPatientNames": ["E^F", "G^H"],
            }
        },
        syntax=syntax,
    )
    assert str(found.PatientName) == "Nobody"
    assert found.PatientSex in {"", None}
    assert [item.AccessionNumber for item in found.RequestAttributesSequence] == ["99", "99"]
    steps = [item.ScheduledProcedureStepID for item in found.RequestAttributesSequence]
    assert steps == ["first", "step 1"]
    assert [str(name) for name in found.OtherPatientNames] == ["E^F", "G^H"]
    assert found.private_block(0x0021, "THEIRS")[5].value in {"new", b"new "}
    assert found.private_block(0x0019, "OURS")[1].value in {"open", b"open"}


def test_remove_copy_and_map() -> None:
    found = hooked(
        {
            "copy": {
                "InstitutionName": "PatientID",
                "RequestAttributesSequence[*].AccessionNumber": "PatientID",
            }
        },
        {"remove": ["PatientID", "RequestAttributesSequence[1].ScheduledProcedureStepID", "(0019,OURS,01)"]},
        {"map": {"attribute": "PatientSex", "values": {"M": "F"}, "otherwise": "O"}},
        {"map": {"attribute": "OtherPatientNames", "values": {"A^B": "X^Y"}}},
    )
    assert found.InstitutionName == "42"
    assert "PatientID" not in found
    assert [item.AccessionNumber for item in found.RequestAttributesSequence] == ["42", "42"]
    assert ["ScheduledProcedureStepID" in item for item in found.RequestAttributesSequence] == [True, False]
    assert found.PatientSex == "F"
    assert [str(name) for name in found.OtherPatientNames] == ["X^Y", "C^D"]
    with pytest.raises(KeyError):
        found.private_block(0x0019, "OURS")[1]


def test_hash_is_the_same_for_the_same_value_and_key(tmp_path: Path) -> None:
    keys = []
    for name in ("one", "two"):
        key = tmp_path / name
        key.write_bytes(name.encode() * 16)
        key.chmod(0o600)
        keys.append(str(key))
    hooks = [
        {
            "hash": {
                "attributes": ["PatientID", "SOPInstanceUID", "SOPClassUID"],
                "key_file": key,
                "prefix": "P-",
            }
        }
        for key in keys
    ]
    first, again, other = hooked(hooks[0]), hooked(hooks[0]), hooked(hooks[1])
    assert first.PatientID == again.PatientID != other.PatientID
    assert first.PatientID.startswith("P-")
    assert "42" not in first.PatientID
    assert first.SOPInstanceUID == again.SOPInstanceUID != other.SOPInstanceUID
    assert first.SOPInstanceUID.startswith("2.25.")
    assert first.SOPClassUID == made().SOPClassUID


def test_what_hooks_leave_alone_stays_byte_for_byte() -> None:
    for name in FILES:
        if name == "UN_sequence.dcm":  # has no SOP instance UID
            continue
        encoded, syntax = data_set(name)
        extent = parsed(encoded, syntax)
        result = Chain([Hook.model_validate({"remove": ["ClinicalTrialSponsorName"]})]).apply(
            extent.header + extent.trailer, syntax
        )
        assert result.header + result.trailer == extent.header + extent.trailer, name


def test_deflated_data_sets_are_inflated_and_deflated() -> None:
    encoded, syntax = data_set("image_dfl.dcm")
    assert syntax == DEFLATED_EXPLICIT_LE
    result = Chain([Hook.model_validate({"set": {"PatientID": "deflated"}})]).apply(encoded, syntax)
    plain = zlib.decompress(result.header, wbits=-zlib.MAX_WBITS)
    assert decode(plain).PatientID == "deflated"


def test_a_data_set_whose_frames_are_deflated_is_no_deflated_one() -> None:
    changed = hooked({"set": {"PatientID": "deflated"}}, syntax="1.2.840.10008.1.2.8.1")
    assert changed.PatientID == "deflated"


@pytest.mark.parametrize(
    ("hook", "text"),
    [
        (
            {"set": {"PatientNmae": "x"}},
            "hook 1 (set): PatientNmae is no keyword of PS3.6; did you mean PatientName?",
        ),
        ({"remove": ["patientID"]}, "patientID is no keyword of PS3.6; did you mean PatientID?"),
        ({"remove": ["Zzz"]}, "hook 1 (remove): Zzz is no keyword of PS3.6"),
        ({"set": {"(0019,OURS,77)": "x"}}, "no dictionary knows its representation"),
        ({"set": {"PatientBirthDate": "yesterday"}}, "is no value of representation DA"),
        ({"set": {"RequestAttributesSequence": "x"}}, "values of representation SQ can't be set"),
        (
            {"python": "nowhere.to:be"},
            "hook 1 (python): nowhere.to:be can't be loaded: there is no module nowhere",
        ),
        ({"python": "json:nothing"}, "json:nothing is no function"),
        ({"hash": {"attributes": ["PatientID"], "key_file": "/nowhere"}}, "can't be read: No such file"),
        ({"copy": {"PatientID": "RequestAttributesSequence.AccessionNumber"}}, "copied within its item"),
    ],
)
def test_hooks_that_can_not_be_loaded(hook: dict[str, Any], text: str) -> None:
    with pytest.raises(HookFailed) as caught:
        Chain([Hook.model_validate(hook)])
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("hook", "text"),
    [
        ({"python": "tests.unit.hooks.examples:fails"}, "hook 1 (python): ValueError at examples.py:"),
        ({"python": "tests.unit.hooks.examples:refuses"}, "hook 1 (python): not on Sundays"),
        ({"python": "tests.unit.hooks.examples:returns_text"}, "returned no pydicom Dataset"),
        ({"remove": ["SOPInstanceUID"]}, "without a valid SOP class and instance UID"),
        ({"map": {"attribute": "PatientSex", "values": {"F": "O"}, "strict": True}}, "is not listed"),
    ],
)
def test_a_hook_that_fails_tells_no_patient_data(hook: dict[str, Any], text: str) -> None:
    with pytest.raises(HookFailed) as caught:
        hooked(hook)
    assert text in str(caught.value)
    assert "Doe" not in str(caught.value)


def test_a_hook_in_python_may_return_another_data_set() -> None:
    assert hooked({"python": "tests.unit.hooks.examples:replaces"}).PatientName == "Replaced"
    assert hooked({"python": "tests.unit.hooks.examples:changes"}).PatientName == "DOE^JOHN"


def test_bytes_that_are_no_data_set_fail() -> None:
    with pytest.raises(HookFailed):
        Chain([Hook.model_validate({"remove": ["PatientID"]})]).apply(
            b"\x10\x00\x10\x00PN\xff\xff12", EXPLICIT_LE
        )
