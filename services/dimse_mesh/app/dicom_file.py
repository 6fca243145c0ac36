"""What is needed of a DICOM file to send it: three UIDs, and where its data set starts (PS3.10 §7.1).

The data set itself is never read here: it is sent as the bytes that stand in the file.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dimse_mesh.app.uid import is_uid
from dimse_mesh.dimse.encoding import DEFLATED, LONG_VRS

MAX_META_BYTES = 64 * 1024
MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX = 0x0002, 0x0003, 0x0010


class NotDicomError(Exception):
    """A file that can't be sent; the message says why."""


@dataclass(frozen=True, slots=True)
class DicomFile:
    """A file to send. Sizes and offsets in bytes."""

    path: Path
    sop_class: str
    sop_instance: str
    transfer_syntax: str
    offset: int
    size: int
    """Of the data set."""

    @property
    def padding(self) -> bytes:
        """What must follow the data set as it is sent: a deflated one of odd length is padded (PS3.5 §A.5)."""
        return b"\0" if self.size % 2 and self.transfer_syntax in DEFLATED else b""

    def read(self) -> bytes:
        """Return the data set as it stands in the file."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


def _open_regular(path: str, flags: int) -> int:
    """Open a regular file; anything else (a FIFO that nobody writes to) would be waited for without end."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotDicomError("not a regular file")
    return descriptor


def read_dicom_file(path: Path) -> DicomFile:
    """Read a file's meta information.

    Raises:
        NotDicomError: it isn't a DICOM file with the UIDs that C-STORE needs.
    """
    try:
        with open(path, "rb", opener=_open_regular) as file:
            head = file.read(132 + MAX_META_BYTES)
            total = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise NotDicomError(error.strerror or "can't be read") from error
    if head[128:132] != b"DICM":
        raise NotDicomError("not a DICOM file: no DICM prefix")
    uids: dict[int, str] = {}
    offset = 132
    try:
        while head[offset : offset + 2] == b"\x02\x00":
            (element,) = struct.unpack_from("<H", head, offset + 2)
            if head[offset + 4 : offset + 6] in LONG_VRS:
                (length,) = struct.unpack_from("<I", head, offset + 8)
                start = offset + 12
            else:
                (length,) = struct.unpack_from("<H", head, offset + 6)
                start = offset + 8
            offset = start + length
            if element in {_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX} and offset <= len(head):
                uids[element] = head[start:offset].decode("ascii").strip("\0 ")
    except (struct.error, UnicodeDecodeError) as error:
        raise NotDicomError("damaged file meta information") from error
    if offset > total or not all(
        uids.get(element) for element in (_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX)
    ):
        raise NotDicomError("the file meta information lacks a UID")
    # A context that no target can read would cost every file of its association.
    if not all(map(is_uid, uids.values())):
        raise NotDicomError("the file meta information holds a UID that isn't one")
    if uids[_SOP_CLASS] == MEDIA_STORAGE_DIRECTORY:
        raise NotDicomError("a DICOMDIR is no composite object")
    return DicomFile(
        path, uids[_SOP_CLASS], uids[_SOP_INSTANCE], uids[_TRANSFER_SYNTAX], offset, total - offset
    )


def files_below(paths: list[Path]) -> Iterator[tuple[Path, bool]]:
    """Yield every file named or below a folder named, in order; True: it was named itself."""
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.is_file():
                    yield file, False
        else:
            yield path, True
