"""Objects that arrive by C-STORE, written to files as they come: what was sent stands in them, byte for byte."""

from __future__ import annotations

import filecmp
import hashlib
import os
import secrets
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info

from dimse_mesh.app.uid import is_uid
from dimse_mesh.dimse import CommandSet, Status
from dimse_mesh.endpoint.own import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

PREAMBLE = bytes(128) + b"DICM"
LONGEST_SHOWN = 80
"""Characters of what should have been a UID."""


def file_head(sop_class: str, sop_instance: str, transfer_syntax: str) -> bytes:
    """Return everything of a DICOM file that comes before its data set (PS3.10 §7.1)."""
    meta = FileMetaDataset()
    for tag, vr, value in (
        (0x00020002, "UI", sop_class),
        (0x00020003, "UI", sop_instance),
        (0x00020010, "UI", transfer_syntax),
        (0x00020012, "UI", IMPLEMENTATION_CLASS_UID),
        (0x00020013, "SH", IMPLEMENTATION_VERSION_NAME),
    ):
        meta.add(DataElement(tag, vr, value, validation_mode=IGNORE))
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta)
    return PREAMBLE + bytes(buffer.getvalue())


@dataclass(frozen=True, slots=True)
class Room:
    """What is taken at most; 0: no limit.

    Attributes:
        files: objects.
        octets: bytes of data sets, of all objects together.
    """

    files: int = 0
    octets: int = 0


UNLIMITED = Room()


class ReceivedFiles:
    """Writes `<SOP instance UID>.dcm` in a folder: each appears when it is whole, or never.

    A file that is there is never replaced. An object whose name is taken goes to `<SOP instance UID>-2.dcm` and so on,
    unless a file of that name holds the same bytes.

    Attributes:
        sizes: bytes of each data set written, by the name of its file without `.dcm`.
        syntaxes: objects by transfer syntax.
        failures: why objects were refused, one line each.
        notes: what else there is to say of an object, one line each.
    """

    def __init__(self, folder: Path, room: Room = UNLIMITED) -> None:
        self._folder = folder
        self._room = room
        self._written = 0
        """Bytes of the objects that were taken so far, this one included."""
        self._file: IO[bytes] | None = None
        self._name = ""
        self._syntax = ""
        self._size = 0
        self._digest = hashlib.sha256()
        self._status = Status.SUCCESS
        self._kept: set[tuple[str, bytes]] = set()
        self._next_number: Counter[str] = Counter()
        self.sizes: dict[str, int] = {}
        self.syntaxes: Counter[str] = Counter()
        self.failures: list[str] = []
        self.notes: list[str] = []
        self.bytes_received = 0

    async def begin(self, request: CommandSet, transfer_syntax: str) -> None:
        """Open a file beside the one that it will be."""
        sop_class, name = request.affected_sop_class_uid or "", request.affected_sop_instance_uid or ""
        self._name, self._syntax, self._size, self._status = name, transfer_syntax, 0, Status.SUCCESS
        self._digest = hashlib.sha256(transfer_syntax.encode("latin-1"))
        for what, uid in (
            ("SOP Instance UID", name),
            ("SOP Class UID", sop_class),
            ("transfer syntax", transfer_syntax),
        ):
            if not is_uid(uid):
                # PS3.7 §C.5.7: the UID violates the rules. It must not become a path.
                self._fail(
                    Status.INVALID_OBJECT_INSTANCE, _shown(name), f"its {what} {_shown(uid)} is no valid UID"
                )
                return
        if self._room.files and self.syntaxes.total() >= self._room.files:
            self._fail(
                Status.STORAGE_OUT_OF_RESOURCES, name, f"{self._room.files} files are taken, --max-files"
            )
            return
        if not request.has_data_set:
            self._fail(Status.STORAGE_CANNOT_UNDERSTAND, name, "it came without a data set")
            return
        try:
            self._file = _create(self._folder)
            self._file.write(file_head(sop_class, name, transfer_syntax))
        except OSError as error:
            self._fail(Status.STORAGE_OUT_OF_RESOURCES, name, error.strerror or "can't be written")

    async def write(self, fragment: memoryview) -> None:
        """Append to the file; after a failure the rest is only counted."""
        self._size += len(fragment)
        self.bytes_received += len(fragment)
        if self._file is not None:
            self._written += len(fragment)
            if self._room.octets and self._written > self._room.octets:
                self._written -= self._size
                why = f"it goes beyond {self._room.octets} bytes, --max-bytes"
                self._fail(Status.STORAGE_OUT_OF_RESOURCES, self._name, why)
                return
            try:
                self._file.write(fragment)
                self._digest.update(fragment)
            except OSError as error:
                self._fail(Status.STORAGE_OUT_OF_RESOURCES, self._name, error.strerror or "can't be written")

    async def end(self) -> int:
        """Give the file its name."""
        if self._file is not None:
            try:
                self._file.close()
                self._publish(Path(self._file.name))
            except OSError as error:
                self._fail(Status.STORAGE_OUT_OF_RESOURCES, self._name, error.strerror or "can't be written")
            else:
                self._file = None
                self.syntaxes[self._syntax] += 1
        return self._status

    def close(self) -> None:
        """Remove what is not whole."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # a full disk fails once more when the rest is written at the end
                file.close()
            with suppress(OSError):
                Path(file.name).unlink()

    def _publish(self, written: Path) -> None:
        """Give `written` the first name that is free, or remove it if an equal file is there already."""
        content = (self._name, self._digest.digest())
        if content in self._kept:
            written.unlink()
            self.notes.append(f"{self._name}: came again with the same content, and is kept once")
            return
        # Names that this run has tried are not tried again, however often one UID comes.
        number = self._next_number[self._name] + 1
        while not (_claim(written, path := self._path(number)) or _take_equal(written, path)):
            number += 1
        self._next_number[self._name] = number
        self._kept.add(content)
        self.sizes[path.stem] = self._size
        if number > 1:
            self.notes.append(
                f"{self._name}: the folder has another object of that UID; this one is in {path.name}"
            )

    def _path(self, number: int) -> Path:
        """Return where the object goes if it is the folder's `number`th of its UID."""
        return self._folder / (f"{self._name}.dcm" if number == 1 else f"{self._name}-{number}.dcm")

    def _fail(self, status: Status, what: str, why: str) -> None:
        self._status = status
        self.failures.append(f"{what}: {why}")
        self.close()


def _create(folder: Path) -> IO[bytes]:
    """Create a file of a new name, with the permissions that the umask allows.

    Raises:
        OSError: it can't be created.
    """
    return (folder / f"{secrets.token_hex(8)}.part").open("xb")


def _claim(written: Path, path: Path) -> bool:
    """Move `written` to `path` unless something is there.

    Raises:
        OSError: it can't be moved.
    """
    try:
        os.link(written, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            return False
        written.rename(path)
    else:
        written.unlink()
    return True


def _take_equal(written: Path, path: Path) -> bool:
    """Remove `written` if `path` is a file of the same bytes; links and what can't be read count as different."""
    try:
        if path.is_symlink() or not path.is_file() or not filecmp.cmp(written, path, shallow=False):
            return False
    except OSError:
        return False
    written.unlink()
    return True


def _shown(uid: str) -> str:
    """Return what a peer has sent as a UID, fit to be printed."""
    if not uid:
        return "(empty)"
    return repr(uid if len(uid) <= LONGEST_SHOWN else f"{uid[:LONGEST_SHOWN]}...")
