"""What the archive holds, by SOP instance, and what of it a query's identifier means (PS3.4 §C.6)."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from dimse_mesh.app.archive.matching import matches, texts

UNIQUE_KEYS = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}
INDEXED = frozenset(
    Tag(tag_for_keyword(keyword) or 0)
    for keyword in (
        *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
        *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber"),
        *("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality"),
        *("SOPInstanceUID", "SOPClassUID", "InstanceNumber", "SpecificCharacterSet"),
    )
)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object and where its file is; `attributes` are those that can be asked for."""

    path: Path
    sop_class: str
    sop_instance: str
    transfer_syntax: str
    attributes: Dataset


def describe(path: Path, sop_class: str, sop_instance: str, transfer_syntax: str) -> StoredObject:
    """Read the attributes of a file; its UIDs are those of its C-STORE request."""
    attributes = Dataset()
    for element in dcmread(path, stop_before_pixels=True, specific_tags=list(INDEXED)):
        if element.tag in INDEXED:
            attributes.add(element)
    attributes.SOPClassUID, attributes.SOPInstanceUID = sop_class, sop_instance
    return StoredObject(path, sop_class, sop_instance, transfer_syntax, attributes)


class Catalog:
    """The objects; every association's thread uses it."""

    def __init__(self) -> None:
        self._objects: dict[str, StoredObject] = {}
        self._lock = threading.Lock()

    def add(self, stored: StoredObject) -> None:
        """Keep an object; one of the same SOP instance is replaced."""
        with self._lock:
            self._objects[stored.sop_instance] = stored

    def get(self, sop_instance: str) -> StoredObject | None:
        """Return an object."""
        with self._lock:
            return self._objects.get(sop_instance)

    def matching(self, identifier: Dataset) -> list[StoredObject]:
        """Return the objects that `identifier` matches, in order of arrival."""
        keys = [element for element in identifier if element.tag in INDEXED]
        with self._lock:
            objects = list(self._objects.values())
        return [
            stored for stored in objects if all(matches(key, stored.attributes.get(key.tag)) for key in keys)
        ]

    def answers(self, identifier: Dataset) -> list[Dataset]:
        """Return an answer for each patient, study, series or image of which an object matches.

        Raises:
            ValueError: there is no such level.
        """
        level = str(identifier.get("QueryRetrieveLevel", ""))
        if level not in UNIQUE_KEYS:
            raise ValueError(level)
        found: dict[str, StoredObject] = {}
        for stored in self.matching(identifier):
            found.setdefault(_key(stored, UNIQUE_KEYS[level]), stored)
        return [self._answer(identifier, level, stored) for stored in found.values()]

    def _answer(self, identifier: Dataset, level: str, stored: StoredObject) -> Dataset:
        answer, counted = Dataset(), self._counted(level, stored)
        for element in identifier:
            if element.tag in stored.attributes:
                answer.add(stored.attributes[element.tag])
            elif element.tag in counted:
                setattr(answer, element.keyword, counted[element.tag])
            else:
                setattr(answer, element.keyword, None)
        answer.QueryRetrieveLevel = level
        if "SpecificCharacterSet" in stored.attributes:
            answer.SpecificCharacterSet = stored.attributes.SpecificCharacterSet
        return answer

    def _counted(self, level: str, stored: StoredObject) -> dict[BaseTag, object]:
        """Return what the standard has the SCP compute, for the entity of this level (PS3.4 table C.3-1)."""
        if level not in {"STUDY", "SERIES"}:
            return {}
        key = UNIQUE_KEYS[level]
        with self._lock:
            siblings = [other for other in self._objects.values() if _key(other, key) == _key(stored, key)]
        if level == "SERIES":
            return {_tag("NumberOfSeriesRelatedInstances"): len(siblings)}
        return {
            _tag("NumberOfStudyRelatedInstances"): len(siblings),
            _tag("NumberOfStudyRelatedSeries"): len({_key(other, "SeriesInstanceUID") for other in siblings}),
            _tag("ModalitiesInStudy"): sorted({_key(other, "Modality") for other in siblings} - {""}),
        }


def _key(stored: StoredObject, keyword: str) -> str:
    return "\\".join(texts(stored.attributes.get(_tag(keyword))))


def _tag(keyword: str) -> BaseTag:
    return Tag(tag_for_keyword(keyword) or 0)
