"""The study of an object, read from the first bytes of its data set."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimse_mesh.dimse.encoding import DEFLATED
from dimse_mesh.spool.study import study_instance_uid
from tests.support.files import UID_ROOT, element, implicit_element, real_files, synthetic, take_apart
from tests.support.wire import EXPLICIT_LE, IMPLICIT_LE

STUDY = element(0x0020000D, "UI", "1.2.3")


def sequence(*items: bytes, defined: bool) -> bytes:
    """Return (0008,1110) with items of defined or undefined length."""
    head = struct.pack("<HH2sH", 0x0008, 0x1110, b"SQ", 0)
    if defined:
        content = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
        return head + struct.pack("<I", len(content)) + content
    begin, end = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF), struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    content = b"".join(begin + item + end for item in items)
    return head + struct.pack("<I", 0xFFFFFFFF) + content + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def test_synthetic_object() -> None:
    assert study_instance_uid(synthetic(1, 1000, study=7).data, EXPLICIT_LE) == f"{UID_ROOT}.7"


def test_implicit() -> None:
    assert study_instance_uid(implicit_element(0x0020000D, "1.2.4"), IMPLICIT_LE) == "1.2.4"


@pytest.mark.parametrize("defined", [True, False])
def test_the_study_of_a_nested_item_is_not_the_object_s(defined: bool) -> None:
    nested = sequence(element(0x0020000D, "UI", "9.9"), element(0x0020000D, "UI", "8.8"), defined=defined)
    assert study_instance_uid(nested + STUDY, EXPLICIT_LE) == "1.2.3"
    assert study_instance_uid(nested, EXPLICIT_LE) == ""


def test_a_data_set_whose_frames_are_deflated_is_read() -> None:
    assert study_instance_uid(STUDY, "1.2.840.10008.1.2.8.1") == "1.2.3"


@pytest.mark.parametrize("syntax", sorted(DEFLATED))
def test_a_data_set_that_is_deflated_has_no_study(syntax: str) -> None:
    assert study_instance_uid(STUDY, syntax) == ""


@pytest.mark.filterwarnings("ignore")  # files that break the standard are among them
def test_real_files_as_pydicom_reads_them() -> None:
    import pydicom

    for syntax in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1"):
        for path in real_files()[syntax]:
            expected = str(
                pydicom.dcmread(path, stop_before_pixels=True, force=True).get("StudyInstanceUID", "")
            )
            assert study_instance_uid(take_apart(path).data[: 1 << 20], syntax) == expected, path


@given(st.binary(max_size=200), st.sampled_from([EXPLICIT_LE, IMPLICIT_LE]))
def test_anything_is_read_without_an_error(data: bytes, syntax: str) -> None:
    study_instance_uid(data, syntax)
    study_instance_uid(STUDY[:6] + data, syntax)
