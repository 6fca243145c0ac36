"""What the demo sends: pydicom's own test files that are composite objects of a study, one for each SOP instance."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pydicom.data
from pydicom import dcmread
from pynetdicom.presentation import AllStoragePresentationContexts

from dimse_mesh.app.demo_peer import Digest
from dimse_mesh.app.dicom_file import DicomFile, NotDicomError, files_below, read_dicom_file


@dataclass(frozen=True, slots=True)
class Sample:
    """A file, its study, and what arrives when it is stored."""

    file: DicomFile
    study: str
    digest: Digest


def samples() -> list[Sample]:
    """Return them, by transfer syntax. Where files share a SOP instance, the rarest transfer syntax wins."""
    storage = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
    files: list[DicomFile] = []
    for path, _ in files_below([Path(pydicom.data.__file__).parent / "test_files"]):
        try:
            file = read_dicom_file(path)
        except NotDicomError:
            continue
        if file.sop_class in storage:
            files.append(file)
    frequency = Counter(file.transfer_syntax for file in files)
    chosen: dict[str, Sample] = {}
    for file in sorted(files, key=lambda file: frequency[file.transfer_syntax]):
        if file.sop_instance not in chosen and (study := _study(file.path)):
            digest = hashlib.sha256(file.read() + file.padding).hexdigest()
            chosen[file.sop_instance] = Sample(file, study, (file.transfer_syntax, digest))
    return sorted(chosen.values(), key=lambda sample: sample.file.transfer_syntax)


def _study(path: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of these files are wrong on purpose
        return str(dcmread(path, specific_tags=["StudyInstanceUID"]).get("StudyInstanceUID", ""))
