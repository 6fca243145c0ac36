"""Objects that arrive by C-STORE, written to files as they come: what was sent stands in them, byte for byte."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
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


class ReceivedFiles:
    """Writes `<SOP instance UID>.dcm` in a folder: each appears when it is whole, or never.

    Attributes:
        sizes: bytes of each data set written, by SOP instance.
        syntaxes: objects by transfer syntax.
        failures: why objects were refused, one line each.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._name = ""
        self._syntax = ""
        self._size = 0
        self._status = Status.SUCCESS
        self.sizes: dict[str, int] = {}
        self.syntaxes: Counter[str] = Counter()
        self.failures: list[str] = []
        self.bytes_received = 0

    async def begin(self, request: CommandSet, transfer_syntax: str) -> None:
        """Open a file beside the one that it will be."""
        sop_class, name = request.affected_sop_class_uid or "", request.affected_sop_instance_uid or ""
        self._name, self._syntax, self._size, self._status = name, transfer_syntax, 0, Status.SUCCESS
        if not all(map(is_uid, (sop_class, name, transfer_syntax))):
            # PS3.7 §C.5.7: the UID violates the rules. It must not become a path, nor be printed as it is.
            self._fail(Status.INVALID_OBJECT_INSTANCE, "an object", "its UIDs are none")
            return
        try:
            self._file = tempfile.NamedTemporaryFile(dir=self._folder, suffix=".part", delete=False)  # noqa: SIM115
            self._file.write(file_head(sop_class, name, transfer_syntax))
        except OSError as error:
            self._fail(Status.STORAGE_OUT_OF_RESOURCES, name, error.strerror or "can't be written")

    async def write(self, fragment: memoryview) -> None:
        """Append to the file; after a failure the rest is only counted."""
        self._size += len(fragment)
        self.bytes_received += len(fragment)
        if self._file is not None:
            try:
                self._file.write(fragment)
            except OSError as error:
                self._fail(Status.STORAGE_OUT_OF_RESOURCES, self._name, error.strerror or "can't be written")

    async def end(self) -> int:
        """Give the file its name."""
        if self._file is not None:
            try:
                self._file.close()
                os.replace(self._file.name, self._folder / f"{self._name}.dcm")
            except OSError as error:
                self._fail(Status.STORAGE_OUT_OF_RESOURCES, self._name, error.strerror or "can't be written")
            else:
                self._file = None
                self.sizes[self._name] = self._size
                self.syntaxes[self._syntax] += 1
        return self._status

    def close(self) -> None:
        """Remove what is not whole."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            finally:
                Path(file.name).unlink(missing_ok=True)

    def _fail(self, status: Status, what: str, why: str) -> None:
        self._status = status
        self.failures.append(f"{what}: {why}")
        self.close()
