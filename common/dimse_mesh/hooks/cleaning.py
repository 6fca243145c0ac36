"""What options of the profile let stay, changed: dates that are shifted, content items that name nobody."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})(.*)", re.DOTALL)
_CLOCK_VRS = frozenset(("TM",))
_TIMEZONE_OFFSET = 0x00080201
_SAFE_VALUE_TYPES = frozenset(
    ("CODE", "COMPOSITE", "CONTAINER", "IMAGE", "NUM", "SCOORD", "SCOORD3D", "TCOORD", "UIDREF", "WAVEFORM")
)
"""Content items without text, names, dates and times (PS3.3 §C.17.3.2.1)."""
_CONTEXT_CONCEPTS = range(121005, 121038)
"""Codes (DCM) of who observes, and who is observed: PS3.16 TID 1002 to 1010."""


def shifted(dataset: Dataset, element: DataElement, days: int) -> bool:
    """Move a date back by so many days; times of day stay. False: it is no date that can be moved."""
    if element.VR in _CLOCK_VRS or element.tag == _TIMEZONE_OFFSET:
        return True
    if element.VR not in {"DA", "DT"}:
        return False
    if not element.value:
        return True
    values = list(element.value) if isinstance(element.value, (MultiValue, list)) else [element.value]
    moved = [_moved(str(value), days) for value in values]
    if any(value is None for value in moved):
        return False
    found: Any = moved if len(moved) > 1 else moved[0]
    dataset[element.tag] = DataElement(element.tag, element.VR, found)
    return True


def _moved(value: str, days: int) -> str | None:
    found = _DATE.fullmatch(value.strip())
    if found is None:
        return None
    try:
        day = date(int(found[1]), int(found[2]), int(found[3])) - timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return f"{day:%Y%m%d}".rjust(8, "0") + found[4]


class ContentCleaner:
    """Keeps the items of a content sequence that name nobody (PS3.15 §E.3.4)."""

    def clean(self, element: DataElement) -> None:
        """Remove the items that may say who the patient is, at every depth."""
        element.value = Sequence(item for item in element.value if self._is_safe(item))
        for item in element.value:
            if "ContentSequence" in item:
                self.clean(item["ContentSequence"])

    @staticmethod
    def _is_safe(item: Dataset) -> bool:
        if str(item.get("ValueType", "")).strip() not in _SAFE_VALUE_TYPES:
            return False
        for concept in item.get("ConceptNameCodeSequence") or ():
            code = str(concept.get("CodeValue", ""))
            if concept.get("CodingSchemeDesignator") == "DCM" and code.isdigit():
                return int(code) not in _CONTEXT_CONCEPTS
        return True
