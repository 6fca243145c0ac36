"""Real DICOM files (pydicom's own) by transfer syntax, and synthetic objects of any size."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tests.support.wire import CT_STORAGE, ENHANCED_CT_STORAGE, EXPLICIT_LE

UID_ROOT = "1.2.826.0.1.3680043.9.9999"
LONG_VRS = frozenset((b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT"))


@dataclass(frozen=True, slots=True)
class DicomFile:
    """A DICOM file taken apart: what its meta information says, and the data set as the bytes stored."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    data: bytes


def take_apart(path: Path) -> DicomFile:
    """Split a DICOM file (PS3.10 §7.1) into meta information and data set.

    Raises:
        ValueError: it is not a DICOM file with preamble and the three UIDs.
    """
    raw = path.read_bytes()
    if raw[128:132] != b"DICM":
        raise ValueError(f"{path} has no DICM prefix")
    offset = 132
    uids: dict[int, str] = {}
    while offset + 8 <= len(raw) and raw[offset : offset + 2] == b"\x02\0":
        (element,) = struct.unpack_from("<H", raw, offset + 2)
        if raw[offset + 4 : offset + 6] in LONG_VRS:
            (length,) = struct.unpack_from("<I", raw, offset + 8)
            start = offset + 12
        else:
            (length,) = struct.unpack_from("<H", raw, offset + 6)
            start = offset + 8
        if element in (0x02, 0x03, 0x10):
            uids[element] = raw[start : start + length].decode("ascii").rstrip("\0 ")
        offset = start + length
    if not all(uids.get(element) for element in (0x02, 0x03, 0x10)):
        raise ValueError(f"{path} lacks a UID in its meta information")
    return DicomFile(uids[0x02], uids[0x03], uids[0x10], raw[offset:])


def _package_directory(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None, f"{name} is not installed"
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


@cache
def real_files() -> dict[str, tuple[Path, ...]]:
    """Return pydicom's test files that have complete meta information, by transfer syntax UID."""
    directories = [
        _package_directory("pydicom") / "data" / "test_files",
        _package_directory("data_store") / "data",
    ]
    found: dict[str, list[Path]] = {}
    seen: set[str] = set()
    for directory in directories:
        for path in sorted(directory.rglob("*.dcm")):
            if path.name in seen:
                continue
            seen.add(path.name)
            try:
                taken = take_apart(path)
            except (ValueError, struct.error):
                continue
            if taken.sop_class != "1.2.840.10008.1.3.10" and len(taken.data) > 0:
                found.setdefault(taken.transfer_syntax, []).append(path)
    return {uid: tuple(paths) for uid, paths in sorted(found.items())}


def one_of_each_syntax() -> dict[str, Path]:
    """Return the smallest real file of every transfer syntax there is."""
    return {uid: min(paths, key=lambda path: path.stat().st_size) for uid, paths in real_files().items()}


def element(tag: int, vr: str, value: bytes | str | int) -> bytes:
    """Return a data element in Explicit VR Little Endian, padded to even length."""
    if isinstance(value, int):
        raw = struct.pack("<H", value)
    elif isinstance(value, str):
        raw = value.encode()
        if len(raw) % 2:
            raw += b"\0" if vr == "UI" else b" "
    else:
        raw = value if len(value) % 2 == 0 else value + b"\0"
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    if vr.encode() in LONG_VRS:
        return head + struct.pack("<HI", 0, len(raw)) + raw
    return head + struct.pack("<H", len(raw)) + raw


def implicit_element(tag: int, value: str) -> bytes:
    """Return a text element in Implicit VR Little Endian."""
    raw = value.encode()
    raw += b" " * (len(raw) % 2)
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(raw)) + raw


def pattern(size: int, seed: int = 0) -> bytes:
    """Return `size` bytes that differ from block to block, cheaply made."""
    block = bytes((index * 31 + seed * 17 + (index >> 8)) & 0xFF for index in range(4096))
    stamped = bytearray(block * (size // 4096 + 1))
    for number in range(0, size // 4096 + 1):
        struct.pack_into("<II", stamped, number * 4096, seed, number)
    return bytes(stamped[:size])


def synthetic(
    number: int,
    pixel_bytes: int,
    *,
    sop_class: str = CT_STORAGE,
    study: int = 1,
    frames: int = 1,
    patient_id: str = "MESH-TEST",
) -> DicomFile:
    """Return a small but valid image object, Explicit VR LE; `pixel_bytes` is rounded up to whole rows."""
    columns = 512 if pixel_bytes >= 1024 * 64 else 64
    rows = max(1, -(-pixel_bytes // (columns * 2 * frames)))
    instance = f"{UID_ROOT}.{study}.1.{number}"
    parts = [
        element(0x00080016, "UI", sop_class),
        element(0x00080018, "UI", instance),
        element(0x00080020, "DA", "20240229"),
        element(0x00080030, "TM", "101112"),
        element(0x00080050, "SH", f"ACC{study}"),
        element(0x00080060, "CS", "CT"),
        element(0x00100010, "PN", "MESH^TEST"),
        element(0x00100020, "LO", patient_id),
        element(0x0020000D, "UI", f"{UID_ROOT}.{study}"),
        element(0x0020000E, "UI", f"{UID_ROOT}.{study}.1"),
        element(0x00200010, "SH", str(study)),
        element(0x00200011, "IS", "1"),
        element(0x00200013, "IS", str(number % 100000)),
        element(0x00280002, "US", 1),
        element(0x00280004, "CS", "MONOCHROME2"),
        *([element(0x00280008, "IS", str(frames))] if frames > 1 else []),
        element(0x00280010, "US", rows),
        element(0x00280011, "US", columns),
        element(0x00280100, "US", 16),
        element(0x00280101, "US", 16),
        element(0x00280102, "US", 15),
        element(0x00280103, "US", 0),
        element(0x7FE00010, "OW", pattern(rows * columns * 2 * frames, number)),
    ]
    return DicomFile(sop_class, instance, EXPLICIT_LE, b"".join(parts))


def enhanced_ct(number: int, pixel_bytes: int, *, study: int = 1) -> DicomFile:
    """Return a multi-frame object of about `pixel_bytes` bytes."""
    frames = max(1, pixel_bytes // (512 * 512 * 2))
    return synthetic(number, pixel_bytes, sop_class=ENHANCED_CT_STORAGE, study=study, frames=frames)


def write_file(path: Path, content: DicomFile) -> Path:
    """Write `content` as a DICOM file and return `path`."""
    meta = b"".join(
        (
            element(0x00020001, "OB", b"\0\1"),
            element(0x00020002, "UI", content.sop_class),
            element(0x00020003, "UI", content.sop_instance),
            element(0x00020010, "UI", content.transfer_syntax),
            element(0x00020012, "UI", f"{UID_ROOT}.9"),
        )
    )
    with path.open("wb") as file:
        file.write(bytes(128) + b"DICM" + element(0x00020000, "UL", struct.pack("<I", len(meta))) + meta)
        file.write(content.data)
    return path


def data_sets(directory: Path) -> dict[str, DicomFile]:
    """Return every DICOM file under `directory`, taken apart, by SOP instance UID."""
    return {taken.sop_instance: taken for taken in _all_files(directory)}


def _all_files(directory: Path) -> Iterator[DicomFile]:
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            yield take_apart(path)
