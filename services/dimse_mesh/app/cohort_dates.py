"""Ranges of study dates and times (PS3.4 §C.2.2.2.5), to be halved where a PACS limits its answers. Pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

FIRST: Final = date(1970, 1, 1)
_DATE: Final = re.compile(r"(\d{8})?(-)?(\d{8})?")
_DAY: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class DateRange:
    """Days, both included; within a single day a range of seconds, both included.

    Attributes:
        since, until: seconds of the day; they matter only if the range is one day.
    """

    first: date
    last: date
    since: int = 0
    until: int = _DAY - 1

    def matching_keys(self) -> dict[str, str]:
        """Return the keys that match it."""
        days = (
            f"{self.first:%Y%m%d}" if self.first == self.last else f"{self.first:%Y%m%d}-{self.last:%Y%m%d}"
        )
        if (self.since, self.until) == (0, _DAY - 1):
            return {"StudyDate": days}
        return {"StudyDate": days, "StudyTime": f"{_clock(self.since)}-{_clock(self.until)}"}

    def halves(self) -> tuple[DateRange, DateRange] | None:
        """Return its two halves; None: it is one minute or less."""
        if self.first < self.last:
            middle = self.first + (self.last - self.first) // 2
            return DateRange(self.first, middle), DateRange(middle + timedelta(days=1), self.last)
        if self.until - self.since < 60:
            return None
        second = (self.since + self.until) // 2
        return (
            DateRange(self.first, self.last, self.since, second),
            DateRange(self.first, self.last, second + 1, self.until),
        )


def parse_range(value: str, today: date) -> DateRange | None:
    """Read a StudyDate key: a day, a range, or nothing, which is all days until tomorrow.

    Returns:
        None: it is something else, and can't be halved.
    """
    match = _DATE.fullmatch(value.strip())
    if match is None:
        return None
    try:
        first = datetime.strptime(match[1], "%Y%m%d").date() if match[1] else FIRST
        last = datetime.strptime(match[3], "%Y%m%d").date() if match[3] else today + timedelta(days=1)
    except ValueError:
        return None
    if match[1] and not match[2]:
        last = first
    return DateRange(first, last) if first <= last else None


def _clock(second: int) -> str:
    return f"{second // 3600:02}{second // 60 % 60:02}{second % 60:02}"
