"""Values that stand for nobody's, by value representation (PS3.15 §E.1.1, action D)."""

from __future__ import annotations

from typing import Any

from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue

TEXT_VRS = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
_DUMMIES: dict[str, Any] = {
    **dict.fromkeys(TEXT_VRS, "REMOVED"),
    "AE": "REMOVED",
    "AS": "000Y",
    "CS": "REMOVED",
    "DA": "19000101",
    "DT": "19000101000000",
    "TM": "000000",
    "UR": "urn:removed",
    "DS": "0",
    "IS": "0",
    "FD": 0.0,
    "FL": 0.0,
    "OB": b"\0\0",
    "UN": b"\0\0",
}
_KEPT_IN_DUMMIES = frozenset(("AT", "CS", "SL", "SS", "UL", "US", "SV", "UV"))
"""Flags and numbers that give an item of a dummy sequence its structure."""


def has_dummy(vr: str) -> bool:
    """Tell whether there is a dummy of a representation."""
    return vr in _DUMMIES


def dummy(element: DataElement) -> DataElement:
    """Return an element with a dummy value, or with as many as it had."""
    value = _DUMMIES[element.VR]
    if isinstance(element.value, (MultiValue, list)) and element.VR not in {"OB", "UN"}:
        value = [value] * len(element.value)
    return DataElement(element.tag, element.VR, value)


def stays_in_dummy(vr: str) -> bool:
    """Tell whether a value may stay in an item of a sequence that is replaced by a dummy."""
    return vr in _KEPT_IN_DUMMIES
