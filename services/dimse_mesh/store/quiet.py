"""Which studies have gone quiet: no object of theirs has come for a while. Pure: time is passed in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

MOST_STUDIES = 50_000
"""Studies that are followed at once; of more, the one that has waited longest counts as quiet early."""


class StudyKey(NamedTuple):
    """A study at an AE.

    Attributes:
        after: the kind of event by which its objects come.
    """

    after: str
    ae: str
    study: str


@dataclass(slots=True)
class Arrivals:
    """The objects of a study that have come since it was quiet last.

    Attributes:
        first, last: when, by the events' own clock: seconds since 1970.
        first_at, last_at: sequence numbers of the first and the last event in the zone's stream; 0: it has none.
        heard: when the last one was heard, by the clock that is passed in.
    """

    objects: int
    first: float
    last: float
    first_at: int
    last_at: int
    heard: float


class QuietStudies:
    """Follows the studies of a zone.

    Args:
        seconds: without an object after which a study is quiet.
    """

    def __init__(self, seconds: float, *, most: int = MOST_STUDIES) -> None:
        self._seconds = seconds
        self._most = most
        self._studies: dict[StudyKey, Arrivals] = {}
        """The one that was heard of longest ago stands first."""

    def __len__(self) -> int:
        return len(self._studies)

    def arrived(self, key: StudyKey, *, at: float, heard: float, sequence: int = 0) -> None:
        """Note an object of a study."""
        known = self._studies.pop(key, None)
        if known is None:
            known = Arrivals(0, at, at, sequence, sequence, heard)
        known.objects += 1
        known.first, known.last = min(known.first, at), max(known.last, at)
        known.last_at, known.heard = sequence, heard
        self._studies[key] = known

    def told(self, key: StudyKey, *, last: float) -> None:
        """Note that somebody has told that a study is quiet, since its object of that time."""
        known = self._studies.get(key)
        if known is not None and known.last <= last:
            del self._studies[key]

    def due(self, now: float) -> Iterator[tuple[StudyKey, Arrivals]]:
        """Yield the studies that are quiet; each stays until it was `told`."""
        excess = len(self._studies) - self._most
        for number, (key, known) in enumerate(list(self._studies.items())):
            if number >= excess and now - known.heard < self._seconds:
                return
            yield key, known

    def settled(self, position: int, *, but: StudyKey) -> int:
        """Return the sequence number before which no study but one waits; `position`: of the next event to come."""
        waiting = (known.first_at for key, known in self._studies.items() if key != but)
        return min(waiting, default=position)
