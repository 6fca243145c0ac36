"""Keeps a trail from being filled by whoever does the same again and again: the rest is counted, not dropped."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Final

from dimse_mesh.audit.records import AuditRecord

ONE_BY_ONE: Final = 20
"""Records of one kind that are written in a minute; the others are told together at its end."""
INTERVAL: Final = 60.0
MOST_KINDS: Final = 1024
"""Kinds that are told apart at a time; the others share one count."""


@dataclass(slots=True)
class _Seen:
    since: float
    count: int
    last: AuditRecord


class Repeats:
    """Lets records through or counts them.

    Args:
        one_by_one: see `ONE_BY_ONE`.
        interval: seconds.
    """

    def __init__(self, *, one_by_one: int = ONE_BY_ONE, interval: float = INTERVAL) -> None:
        self._one_by_one = one_by_one
        self._interval = interval
        self._seen: dict[Hashable, _Seen] = {}

    def passes(self, record: AuditRecord, now: float) -> bool:
        """Tell whether a record is to be written now; else it is counted."""
        if record.repeats is None:
            return True
        key = record.repeats
        if key not in self._seen and len(self._seen) >= MOST_KINDS:
            key = (record.event, record.types)
        seen = self._seen.setdefault(key, _Seen(now, 0, record))
        seen.count += 1
        seen.last = record
        return seen.count <= self._one_by_one

    def due(self, now: float, *, all_of_them: bool = False) -> list[AuditRecord]:
        """Return one record for each kind whose interval is over and of which some were not written."""
        over = [
            key
            for key, seen in self._seen.items()
            if all_of_them or not 0 <= now - seen.since < self._interval
        ]
        told = []
        for key in over:
            seen = self._seen.pop(key)
            untold = seen.count - self._one_by_one
            if untold > 0:
                what = seen.last.description
                told.append(replace(seen.last, description=f"{what}; {untold} like this in the last minute"))
        return told
