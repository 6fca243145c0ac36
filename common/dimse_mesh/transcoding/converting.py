"""Change the transfer syntax of a data set by pydicom, and make sure that nothing was lost by it.

What pydicom has written is read again and compared with the original, value by value as bytes. So an object arrives
whole in another encoding, or it doesn't arrive.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator
from io import BytesIO

from pydicom import config
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import data_element_generator, read_dataset
from pydicom.filewriter import write_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from dimse_mesh.dimse.encoding import DEFLATED_EXPLICIT_LE, EXPLICIT_LE, IMPLICIT_LE
from dimse_mesh.transcoding.syntaxes import LOSSLESS, alternatives

PIXEL_DATA = 0x7FE0_0010
_OFFSET_TABLES = (0x7FE0_0001, 0x7FE0_0002, 0x7FE0_0003)
"""Of compressed frames alone: Extended Offset Table, its lengths, Encapsulated Pixel Data Value Total Length."""
_OF_PIXELS = frozenset(
    (PIXEL_DATA, *_OFFSET_TABLES, 0x0028_0004, 0x0028_0006, 0x0028_0100, 0x0028_0101, 0x0028_0102)
)
"""What decoding may change: the frames, Photometric Interpretation, Planar Configuration, bits."""

_UNDEFINED = 0xFFFF_FFFF
Path = tuple[int, ...]
"""Where an element stands: tags, and numbers of items."""


class Unconvertible(Exception):
    """It can't be changed without loss; the message holds no patient data."""


def convert(data: bytes, source: str, target: str) -> bytes:
    """Return a data set in another transfer syntax.

    Raises:
        Unconvertible: something would be lost, or no decoder is installed.
    """
    if target not in alternatives(source):
        raise Unconvertible(f"{UID(source).name} can't be changed into {UID(target).name} without loss")
    config.settings.reading_validation_mode = config.IGNORE
    config.settings.writing_validation_mode = config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _convert(data, source, target)
    except (Unconvertible, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - pydicom has no exception of its own for damaged data
        # Its text may hold a value.
        raise Unconvertible(f"it can't be read or written: {type(error).__name__}") from None


def _convert(data: bytes, source: str, target: str) -> bytes:
    plain = zlib.decompress(data, -zlib.MAX_WBITS) if source == DEFLATED_EXPLICIT_LE else data
    changed = _read(plain, source)
    if _elements(plain, source) != len(changed):
        raise Unconvertible("it has an element twice")
    if source in LOSSLESS and PIXEL_DATA in changed:
        _decode(changed, source)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = target == IMPLICIT_LE, True
    write_dataset(buffer, changed)
    written = bytes(buffer.getvalue())
    before, after = (
        dict(_values(_read(plain, source), ())),
        dict(_values(_read(written, target), ())),
    )
    free = _OF_PIXELS if source in LOSSLESS else frozenset[int]()
    for path in before.keys() | after.keys():
        if path[0] not in free and before.get(path) != after.get(path):
            raise Unconvertible(f"element ({path[-1] >> 16:04X},{path[-1] & 0xFFFF:04X}) would be changed")
    if ((PIXEL_DATA,) in before) != ((PIXEL_DATA,) in after):
        raise Unconvertible("its pixel data would be lost")
    return written


def _read(data: bytes, syntax: str) -> Dataset:
    found = read_dataset(BytesIO(data), is_implicit_VR=syntax == IMPLICIT_LE, is_little_endian=True)
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = UID(syntax)
    return found


def _elements(data: bytes, syntax: str) -> int:
    """Return how many elements a data set has, on its top level.

    Raises:
        Unconvertible: it breaks off in the middle of one.
    """
    count, end, file = 0, 0, BytesIO(data)
    for element in data_element_generator(file, syntax == IMPLICIT_LE, True):
        count, end = count + 1, file.tell()
        if isinstance(element, RawDataElement) and element.length not in {
            _UNDEFINED,
            len(element.value or b""),
        }:
            raise Unconvertible("it breaks off")
    if end != len(data):
        raise Unconvertible("it breaks off")
    return count


def _decode(data_set: Dataset, source: str) -> None:
    """Replace compressed frames by decoded ones.

    Raises:
        Unconvertible: no decoder is installed.
    """
    decoder = get_decoder(UID(source))
    if not decoder.is_available:
        raise Unconvertible(
            f"no decoder of {UID(source).name} is installed: pylibjpeg and its plugins have them"
        )
    frames: list[bytes] = []
    facts: dict[str, object] = {}
    for frame, found in decoder.iter_buffer(data_set):
        frames.append(bytes(frame))
        facts = dict(found)
    size = sum(map(len, frames))
    if size >= 0xFFFF_FFFF:
        raise Unconvertible("its pixel data would be longer than an element can be")
    bits = int(str(facts["bits_allocated"]))
    expected = data_set.Rows * data_set.Columns * data_set.SamplesPerPixel * bits // 8
    if size != expected * int(data_set.get("NumberOfFrames") or 1):
        raise Unconvertible("its frames are not as long as they should be")
    for tag in _OFFSET_TABLES:
        data_set.pop(tag, None)
    data_set.PhotometricInterpretation = str(facts["photometric_interpretation"])
    if data_set.SamplesPerPixel > 1:
        data_set.PlanarConfiguration = int(str(facts["planar_configuration"]))
    data_set.BitsAllocated = bits
    element = data_set["PixelData"]
    element.value = b"".join(frames) + b"\0" * (size % 2)
    element.is_undefined_length = False
    element.VR = "OB" if bits <= 8 else "OW"
    data_set.file_meta.TransferSyntaxUID = UID(EXPLICIT_LE)


def _values(data_set: Dataset, path: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield each element's value as it is encoded, without padding; of a sequence how many items, and theirs."""
    for tag in sorted(data_set.keys()):
        if tag.element == 0:
            continue  # a group length, which is retired (PS3.5 §7.2)
        where = (*path, int(tag))
        raw = data_set.get_item(tag)
        if isinstance(raw, RawDataElement) and data_set[tag].VR != "SQ":
            yield where, (raw.value or b"").rstrip(b"\0 ")
        elif data_set[tag].VR == "SQ":
            items = data_set[tag].value or ()
            yield where, str(len(items)).encode()
            for number, item in enumerate(items):
                yield from _values(item, (*where, number))
        else:
            yield where, bytes(data_set[tag].value or b"").rstrip(b"\0 ")
