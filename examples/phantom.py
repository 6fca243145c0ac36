"""Write a CT series of a made-up patient: a body of soft tissue with two lungs, and nodules in them.

usage: python phantom.py FOLDER [--patient ID] [--name NAME] [--study UID] [--date YYYYMMDD] [--slices N]

No patient is in it, so it may go anywhere; the numbers are Hounsfield units, so an algorithm has something to find.
"""

from __future__ import annotations

import argparse
from array import array
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

SIZE = 128
SPACING = 2.8
"""Millimetres between pixels, and between slices."""

AIR, TISSUE, LUNG, NODULE = -1000, 40, -850, 60
LUNGS = ((40, 64), (88, 64))
"""Centres of the lungs: column, row."""
NODULES = ((36, 60, 10, 4), (92, 70, 14, 3))
"""Column, row, slice and radius, in pixels."""


def hounsfield(column: int, row: int, number: int) -> int:
    """Return what is at a place of the body."""
    for x, y, z, radius in NODULES:
        if (column - x) ** 2 + (row - y) ** 2 + (number - z) ** 2 <= radius**2:
            return NODULE
    for x, y in LUNGS:
        if ((column - x) / 17) ** 2 + ((row - y) / 26) ** 2 <= 1:
            return LUNG
    return TISSUE if ((column - 64) / 56) ** 2 + ((row - 64) / 42) ** 2 <= 1 else AIR


def slice_of(number: int, *, patient: str, name: str, study: str, series: str, date: str) -> Dataset:
    """Return one slice."""
    slice_ = Dataset()
    slice_.file_meta = FileMetaDataset()
    slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_.SpecificCharacterSet = "ISO_IR 100"
    slice_.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    slice_.SOPClassUID = CTImageStorage
    slice_.SOPInstanceUID = generate_uid(entropy_srcs=[series, str(number)])
    slice_.StudyDate = slice_.SeriesDate = slice_.ContentDate = date
    slice_.StudyTime = slice_.SeriesTime = slice_.ContentTime = "101500"
    slice_.AccessionNumber = f"A{date}"
    slice_.Modality = "CT"
    slice_.Manufacturer = "dimse-mesh"
    slice_.ReferringPhysicianName = ""
    slice_.StudyDescription = "CT THORAX"
    slice_.SeriesDescription = "phantom"
    slice_.PatientName = name
    slice_.PatientID = patient
    slice_.PatientBirthDate = "19600101"
    slice_.PatientSex = "O"
    slice_.BodyPartExamined = "CHEST"
    slice_.StudyInstanceUID = study
    slice_.SeriesInstanceUID = series
    slice_.FrameOfReferenceUID = generate_uid(entropy_srcs=[series])
    slice_.PositionReferenceIndicator = ""
    slice_.StudyID = "1"
    slice_.SeriesNumber = 1
    slice_.InstanceNumber = number + 1
    slice_.SliceThickness = SPACING
    slice_.KVP = 120
    slice_.ImagePositionPatient = [-SIZE / 2 * SPACING, -SIZE / 2 * SPACING, number * SPACING]
    slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    slice_.PixelSpacing = [SPACING, SPACING]
    slice_.SamplesPerPixel = 1
    slice_.PhotometricInterpretation = "MONOCHROME2"
    slice_.Rows = slice_.Columns = SIZE
    slice_.BitsAllocated = slice_.BitsStored = 16
    slice_.HighBit = 15
    slice_.PixelRepresentation = 1
    slice_.RescaleIntercept = 0
    slice_.RescaleSlope = 1
    slice_.RescaleType = "HU"
    slice_.WindowCenter, slice_.WindowWidth = -400, 1500
    pixels = array("h", (hounsfield(x, y, number) for y in range(SIZE) for x in range(SIZE)))
    slice_.PixelData = pixels.tobytes()
    return slice_


def main() -> None:
    """Write the series."""
    parser = argparse.ArgumentParser(description="write a CT series of a made-up patient")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patient", default="PHANTOM")
    parser.add_argument("--name", default="Phantom^Paula")
    parser.add_argument("--study", default=generate_uid(), help="Study Instance UID")
    parser.add_argument("--date", default="20260105")
    parser.add_argument("--slices", type=int, default=20)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    series = generate_uid(entropy_srcs=[given.study])
    for number in range(given.slices):
        slice_ = slice_of(
            number,
            patient=given.patient,
            name=given.name,
            study=given.study,
            series=series,
            date=given.date,
        )
        slice_.save_as(given.folder / f"{number + 1:03}.dcm", enforce_file_format=True)


if __name__ == "__main__":
    main()
