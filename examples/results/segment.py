"""A small AI node: find solid nodules in the lungs of a CT series; write a SEG and an SR (PS3.3 A.51, A.35.13).

usage: python segment.py FOLDER-OF-A-STUDY FOLDER-FOR-RESULTS

What it does is not for patients: lungs are air that isn't outside of the body, and a nodule is what is dense and all
around it is lung. That is enough to see results travel.
"""

from __future__ import annotations

import sys
from pathlib import Path

import highdicom as hd
import numpy as np
from highdicom import seg, sr
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

AIR, DENSE = -500, -300
"""Hounsfield units: less is air, more is dense."""
SMALLEST = 8
"""Voxels of a nodule, at least."""
MAKER = {
    "manufacturer": "dimse-mesh",
    "manufacturer_model_name": "example of an AI node",
    "software_versions": "1",
    "device_serial_number": "1",
}


def series_in(folder: Path) -> list[Dataset]:
    """Return the images of the CT series in a folder, from foot to head."""
    images = [dcmread(path) for path in folder.rglob("*") if path.is_file()]
    images = [image for image in images if image.get("Modality") == "CT"]
    return sorted(images, key=lambda image: float(image.ImagePositionPatient[2]))


def spread(seed: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Return all of `within` that hangs together with `seed`, in each slice."""
    found = seed & within
    while True:
        grown = found.copy()
        grown[:, 1:] |= found[:, :-1]
        grown[:, :-1] |= found[:, 1:]
        grown[:, :, 1:] |= found[:, :, :-1]
        grown[:, :, :-1] |= found[:, :, 1:]
        grown &= within
        if (grown == found).all():
            return found
        found = grown


def nodules_in(volume: np.ndarray) -> list[np.ndarray]:
    """Return a mask for each nodule, the largest first."""
    border = np.zeros(volume.shape, bool)
    border[:, [0, -1]] = border[:, :, [0, -1]] = True
    outside = spread(border, volume < AIR)
    lungs = (volume < AIR) & ~outside
    enclosed = ~spread(border, ~lungs) & ~lungs & (volume > DENSE)
    found: list[np.ndarray] = []
    left = {tuple(place) for place in np.argwhere(enclosed)}
    while left:
        part = [left.pop()]
        for z, y, x in part:
            around = (
                (z + 1, y, x),
                (z - 1, y, x),
                (z, y + 1, x),
                (z, y - 1, x),
                (z, y, x + 1),
                (z, y, x - 1),
            )
            part += [place for place in around if place in left]
            left.difference_update(part)
        if len(part) >= SMALLEST:
            mask = np.zeros(volume.shape, bool)
            mask[tuple(np.array(part).T)] = True
            found.append(mask)
    return sorted(found, key=lambda mask: -mask.sum())


def segmentation_of(images: list[Dataset], masks: list[np.ndarray]) -> seg.Segmentation:
    """Return a SEG with a segment for each nodule."""
    algorithm = hd.AlgorithmIdentificationSequence(
        name="enclosed in lung", version="1", family=codes.DCM.ArtificialIntelligence
    )
    described = [
        seg.SegmentDescription(
            segment_number=number,
            segment_label=f"nodule {number}",
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Nodule,
            algorithm_type=seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number in range(1, len(masks) + 1)
    ]
    return seg.Segmentation(
        source_images=images,
        pixel_array=np.stack(masks, axis=-1),
        segmentation_type=seg.SegmentationTypeValues.BINARY,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=100,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        series_description="nodules",
        content_label="NODULES",
        **MAKER,
    )


def report_of(images: list[Dataset], masks: list[np.ndarray], segmentation: seg.Segmentation) -> Dataset:
    """Return an SR with the volume of each nodule."""
    across, down = map(float, images[0].PixelSpacing)
    voxel = across * down * float(images[0].SliceThickness)
    observer = sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=generate_uid(entropy_srcs=["dimse-mesh", "example"]), name="AI"
        ),
    )
    groups = [
        sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(uid=generate_uid(), identifier=f"nodule {number}"),
            referenced_segment=sr.ReferencedSegment(
                sop_class_uid=segmentation.SOPClassUID,
                sop_instance_uid=segmentation.SOPInstanceUID,
                segment_number=number,
                source_images=[sr.SourceImageForSegmentation.from_source_image(image) for image in images],
            ),
            measurements=[
                sr.Measurement(
                    name=codes.SCT.Volume, value=float(mask.sum()) * voxel, unit=codes.UCUM.CubicMillimeter
                )
            ],
        )
        for number, mask in enumerate(masks, 1)
    ]
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=groups,
    )
    return sr.Comprehensive3DSR(
        evidence=[*images, segmentation],
        content=report,
        series_instance_uid=generate_uid(),
        series_number=101,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=MAKER["manufacturer"],
        series_description="nodules: volumes",
        is_complete=True,
    )


def main() -> None:
    """Read a study, write its results."""
    study, results = map(Path, sys.argv[1:3])
    images = series_in(study)
    volume = np.stack(
        [image.pixel_array * int(image.RescaleSlope) + int(image.RescaleIntercept) for image in images]
    )
    masks = nodules_in(volume)
    print(f"{len(images)} images, {len(masks)} nodules of {[int(mask.sum()) for mask in masks]} voxels")
    if not masks:
        return
    results.mkdir(parents=True, exist_ok=True)
    segmentation = segmentation_of(images, masks)
    segmentation.save_as(results / "seg.dcm")
    report_of(images, masks, segmentation).save_as(results / "sr.dcm")


if __name__ == "__main__":
    main()
