"""Pixel data is found apart from the rest, whatever pieces the data set comes in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from dimse_mesh.dimse.encoding import EXPLICIT_BE, IMPLICIT_LE
from dimse_mesh.hooks.splitting import Extent, Malformed, Splitter

MOST = 64 << 20
FILES = (
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "JPEG2000.dcm",
    "MR_small_RLE.dcm",
    "liver_1frame.dcm",
    "reportsi.dcm",
    "rtplan.dcm",
    "test-SR.dcm",
    "UN_sequence.dcm",
)


def data_set(name: str) -> tuple[bytes, str]:
    """Return the encoded data set of one of pydicom's test files, and its transfer syntax."""
    path = Path(str(get_testdata_file(name)))
    whole = path.read_bytes()
    meta = dcmread(path, stop_before_pixels=True).file_meta
    return whole[132 + 12 + meta.FileMetaInformationGroupLength :], str(meta.TransferSyntaxUID)


def parsed(encoded: bytes, syntax: str, pieces: Iterator[int] | None = None) -> Extent:
    """Split a data set that comes in pieces of the given lengths."""
    splitter = Splitter(syntax, most=MOST)
    at = 0
    while at < len(encoded):
        length = len(encoded) if pieces is None else next(pieces, len(encoded))
        splitter.feed(encoded[at : at + length])
        at += length
    return splitter.end()


@pytest.mark.parametrize("name", FILES)
def test_split_of_a_file_agrees_with_pydicom(name: str) -> None:
    encoded, syntax = data_set(name)
    extent = parsed(encoded, syntax)
    assert extent.header + encoded[extent.first : extent.first + extent.length] + extent.trailer == encoded
    whole = read_dataset(BytesIO(encoded), syntax == IMPLICIT_LE, syntax != EXPLICIT_BE)
    rest = read_dataset(BytesIO(extent.header + extent.trailer), syntax == IMPLICIT_LE, syntax != EXPLICIT_BE)
    expected = [tag for tag in whole.keys() if tag != 0x7FE00010]  # noqa: SIM118
    assert list(rest.keys()) == expected
    assert bool(extent.length) == ("PixelData" in whole)


@given(st.data())
def test_pieces_make_no_difference(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(FILES))
    encoded, syntax = data_set(name)
    lengths = data.draw(st.lists(st.integers(1, 5000), max_size=50))
    assert parsed(encoded, syntax, iter(lengths)) == parsed(encoded, syntax)


@given(st.data())
def test_damaged_bytes_are_malformed_or_split(data: st.DataObject) -> None:
    encoded, syntax = data_set(data.draw(st.sampled_from(FILES)))
    damaged = bytearray(encoded[: data.draw(st.integers(0, len(encoded)))])
    for _ in range(data.draw(st.integers(0, 5)) if damaged else 0):
        damaged[data.draw(st.integers(0, min(len(damaged), 4000) - 1))] = data.draw(st.integers(0, 255))
    try:
        extent = parsed(bytes(damaged), syntax)
    except Malformed:
        return
    end = extent.first + extent.length
    assert extent.header + bytes(damaged[extent.first : end]) + extent.trailer == damaged


def with_trailer() -> tuple[bytes, int]:
    """Return a CT slice with a private group and padding behind its pixel data, and their length."""
    encoded, _ = data_set("CT_small.dcm")
    tail = DicomBytesIO()
    tail.is_implicit_VR, tail.is_little_endian = False, True
    dataset = read_dataset(BytesIO(encoded), False, True)
    del dataset[:0x7FE00011]
    dataset.private_block(0x7FE1, "SOMEBODY", create=True).add_new(1, "LO", "Doe^John")
    write_dataset(tail, dataset)
    extent = parsed(encoded, "1.2.840.10008.1.2.1")
    kept = encoded[: extent.first + extent.length]
    return kept + tail.getvalue(), len(tail.getvalue())


def test_what_stands_behind_pixel_data_is_the_trailer() -> None:
    encoded, length = with_trailer()
    extent = parsed(encoded, "1.2.840.10008.1.2.1")
    assert len(extent.trailer) == length
    assert b"Doe^John" in extent.trailer


def test_more_than_the_limit_is_refused_but_for_pixel_data() -> None:
    encoded, syntax = data_set("CT_small.dcm")
    header = len(parsed(encoded, syntax).header) + len(parsed(encoded, syntax).trailer)
    Splitter(syntax, most=header).feed(encoded)
    with pytest.raises(Malformed, match="max_bytes"):
        Splitter(syntax, most=header - 1).feed(encoded)


@pytest.mark.parametrize("cut", [lambda size: size - 1, lambda size: size // 2, lambda _: 5])
def test_a_data_set_that_is_cut_off_is_malformed(cut: Callable[[int], int]) -> None:
    encoded, syntax = data_set("CT_small.dcm")
    with pytest.raises(Malformed):
        parsed(encoded[: cut(len(encoded))], syntax)
