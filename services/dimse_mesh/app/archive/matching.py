"""Attribute matching (PS3.4 §C.2.2.2): universal, UID list, range, wildcard, single value."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue

_RANGES = frozenset(("DA", "TM", "DT"))
_NO_WILDCARDS = _RANGES | frozenset(("UI", "IS", "DS", "US", "SS", "UL", "SL", "FL", "FD", "AS"))


def texts(element: DataElement | None) -> list[str]:
    """Return an element's values as texts; none if it is absent or empty."""
    if element is None or element.value is None or element.value == "":
        return []
    values: Sequence[object] = element.value if isinstance(element.value, MultiValue) else [element.value]
    return [str(value).strip() for value in values]


def matches(key: DataElement, value: DataElement | None) -> bool:
    """Tell whether an attribute matches a key; several values of either: one pair is enough."""
    wanted, there = texts(key), texts(value)
    if not wanted or wanted == ["*"]:
        return True
    return any(_matches(key.VR, want, have) for want in wanted for have in there)


def _matches(vr: str, wanted: str, value: str) -> bool:
    if vr in _RANGES and "-" in wanted:
        first, _, last = wanted.partition("-")
        return (not first or value >= first) and (not last or value[: len(last)] <= last)
    if vr in _NO_WILDCARDS or not any(char in wanted for char in "*?"):
        return value.casefold() == wanted.casefold() if vr == "PN" else value == wanted
    pattern = re.escape(wanted).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(pattern, value, re.IGNORECASE if vr == "PN" else 0) is not None
