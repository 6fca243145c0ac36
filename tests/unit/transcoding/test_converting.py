"""Transfer syntaxes are changed only where nothing is lost."""

from __future__ import annotations

import zlib
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from dimse_mesh.dimse.encoding import DEFLATED_EXPLICIT_LE, EXPLICIT_LE, IMPLICIT_LE
from dimse_mesh.transcoding.converting import Unconvertible, convert
from dimse_mesh.transcoding.syntaxes import alternatives
from tests.support.files import DicomFile, element, take_apart

RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"


def sample(name: str) -> DicomFile:
    """Return one of pydicom's test files."""
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return take_apart(Path(path))


def decoded(data: bytes, syntax: str) -> Dataset:
    return read_dataset(BytesIO(data), is_implicit_VR=syntax == IMPLICIT_LE, is_little_endian=True)


@pytest.mark.parametrize("name", ["CT_small.dcm", "rtplan.dcm", "reportsi.dcm", "MR_small.dcm"])
def test_there_and_back_again(name: str) -> None:
    content = sample(name)
    other = IMPLICIT_LE if content.transfer_syntax == EXPLICIT_LE else EXPLICIT_LE
    there = convert(content.data, content.transfer_syntax, other)
    back = convert(there, other, content.transfer_syntax)
    assert there != content.data
    assert decoded(back, content.transfer_syntax) == decoded(content.data, content.transfer_syntax)


@pytest.mark.parametrize("target", [EXPLICIT_LE, IMPLICIT_LE])
@pytest.mark.parametrize(
    ("compressed", "plain"),
    [("MR_small_RLE.dcm", "MR_small.dcm"), ("SC_rgb_rle_2frame.dcm", "SC_rgb_2frame.dcm")],
)
def test_rle_is_decoded_to_the_same_pixels(compressed: str, plain: str, target: str) -> None:
    content = sample(compressed)
    changed = decoded(convert(content.data, RLE, target), target)
    wanted = dcmread(str(get_testdata_file(plain)))
    pixels = changed.PixelData
    if changed.SamplesPerPixel > 1 and changed.PlanarConfiguration != wanted.PlanarConfiguration:
        size = changed.Rows * changed.Columns
        frames = [pixels[at : at + 3 * size] for at in range(0, len(pixels), 3 * size)]
        pixels = b"".join(
            bytes(
                b
                for three in zip(*(frame[n * size : (n + 1) * size] for n in range(3)), strict=True)
                for b in three
            )
            for frame in frames
        )
    assert pixels == wanted.PixelData
    assert changed.SOPInstanceUID == content.sop_instance


def test_deflated_is_inflated() -> None:
    content = sample("CT_small.dcm")
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = packer.compress(content.data) + packer.flush()
    assert decoded(convert(deflated, DEFLATED_EXPLICIT_LE, EXPLICIT_LE), EXPLICIT_LE) == decoded(
        content.data, EXPLICIT_LE
    )


def test_what_is_compressed_with_loss_stays_as_it_is() -> None:
    assert alternatives(JPEG_BASELINE) == ()
    with pytest.raises(Unconvertible, match="without loss"):
        convert(b"", JPEG_BASELINE, EXPLICIT_LE)


@pytest.mark.parametrize("damage", ["cut", "twice", "tail"])
def test_what_would_lose_something_is_refused(damage: str) -> None:
    data = sample("CT_small.dcm").data
    name = element(0x0010_0010, "PN", "A^B")
    damaged = {"cut": data[:-10], "twice": name + name + data, "tail": data + b"1234"}[damage]
    with pytest.raises(Unconvertible):
        convert(damaged, EXPLICIT_LE, IMPLICIT_LE)
