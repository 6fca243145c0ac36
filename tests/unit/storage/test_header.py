"""Elements of a data set's first bytes, against pydicom's reading of the same objects."""

from __future__ import annotations

import warnings
import zlib

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filebase import DicomBytesIO

from dimse_mesh.dimse.encoding import DEFLATED, DEFLATED_EXPLICIT_LE
from dimse_mesh.storage.file_meta import file_head, parse_head
from dimse_mesh.storage.header import LONGEST_HEAD, HeadReader, elements_in
from tests.support.files import element, real_files, synthetic, take_apart

STUDY, SERIES, MODALITY, INSTANCE = 0x0020_000D, 0x0020_000E, 0x0008_0060, 0x0020_0013
WANTED = frozenset((STUDY, SERIES, MODALITY, INSTANCE))
KEYWORDS = {
    STUDY: "StudyInstanceUID",
    SERIES: "SeriesInstanceUID",
    MODALITY: "Modality",
    INSTANCE: "InstanceNumber",
}
PATHS = [
    path
    for paths in real_files().values()
    for path in paths
    if path.name != "SC_rgb_jpeg.dcm"  # implicit VR, though its transfer syntax is explicit
]


def text_of(data_set: pydicom.Dataset, tag: int) -> str:
    value = data_set.get(KEYWORDS[tag])
    return "" if value is None else str(value)


@pytest.mark.parametrize("size", [7, 1000, 1 << 20])
def test_real_objects_are_read_as_pydicom_reads_them(size: int) -> None:
    for path in PATHS:
        content = take_apart(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data_set = pydicom.dcmread(path, stop_before_pixels=True)
            wanted = {tag: text_of(data_set, tag) for tag in WANTED}
        reader = HeadReader(WANTED, content.transfer_syntax)
        for start in range(0, len(content.data), size):
            if reader.complete:
                break
            reader.feed(content.data[start : start + size])
        reader.finish()
        assert {tag: reader.values.get(tag, "") for tag in WANTED} == wanted, path.name


def test_a_deflated_bomb_is_read_up_to_the_limit() -> None:
    compress = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = compress.compress(element(0x0008_0001, "UN", bytes(50_000_000))) + compress.flush()
    reader = HeadReader(WANTED, DEFLATED_EXPLICIT_LE)
    reader.feed(bomb)
    assert reader.complete
    assert reader.values == {}


def test_a_data_set_whose_frames_are_deflated_is_read_as_it_is() -> None:
    reader = HeadReader(WANTED, "1.2.840.10008.1.2.8.1")
    reader.feed(synthetic(1, 100).data)
    assert STUDY in reader.values


@pytest.mark.parametrize("syntax", sorted(DEFLATED))
def test_a_deflated_data_set_is_inflated(syntax: str) -> None:
    compress = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    reader = HeadReader(WANTED, syntax)
    reader.feed(compress.compress(synthetic(1, 100).data) + compress.flush())
    assert STUDY in reader.values


@given(data=st.binary(max_size=400), syntax=st.sampled_from(["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"]))
def test_no_bytes_raise(data: bytes, syntax: str) -> None:
    elements_in(data, syntax, WANTED)
    for start in (b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0"):
        elements_in(start + data, syntax, WANTED)


def test_what_is_too_far_behind_is_absent() -> None:
    data = element(0x0008_0001, "UN", bytes(LONGEST_HEAD)) + synthetic(1, 100).data
    reader = HeadReader(WANTED, "1.2.840.10008.1.2.1")
    for start in range(0, len(data), 65536):
        reader.feed(data[start : start + 65536])
    assert reader.complete
    assert reader.values == {}


def test_the_head_of_a_file_is_read_by_pydicom() -> None:
    head = file_head(
        sop_class="1.2.3", sop_instance="1.2.3.4", transfer_syntax="1.2.840.10008.1.2.1", source_ae="CT1"
    )
    data = synthetic(1, 100).data
    data_set = pydicom.dcmread(DicomBytesIO(head + data))
    assert data_set.file_meta.MediaStorageSOPInstanceUID == "1.2.3.4"
    assert data_set.file_meta.SourceApplicationEntityTitle == "CT1"
    assert data_set.Modality == "CT"
    parsed = parse_head(head + data)
    assert parsed == (len(head), "1.2.840.10008.1.2.1")
    assert all(parse_head(head[:cut]) is None for cut in range(len(head)))
