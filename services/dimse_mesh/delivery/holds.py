"""What waits for another attempt: everything for the destination, what comes from a calling AE, or one study."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from dimse_mesh.schemas.spool import Manifest


class HoldKind(Enum):
    """What a hold holds back."""

    CALLING_AE = auto()
    STUDY = auto()


HoldKey = tuple[HoldKind, str]


@dataclass(slots=True)
class Hold:
    """Objects that are passed over until a time.

    Attributes:
        first: sequence number of the first of them.
        until: loop time of the next attempt.
        failures: attempts that have failed in a row.
    """

    first: int
    until: float
    failures: int


def keys_of(manifest: Manifest) -> tuple[HoldKey, HoldKey]:
    """Return the keys of the holds that may hold an object back."""
    return (HoldKind.CALLING_AE, manifest.calling_ae), (HoldKind.STUDY, manifest.study)


class Holds:
    """The holds of one queue."""

    def __init__(self) -> None:
        self._holds: dict[HoldKey, Hold] = {}

    def __len__(self) -> int:
        return len(self._holds)

    def holds_back(self, manifest: Manifest, sequence: int, *, trying: HoldKey | None) -> bool:
        """Tell whether an object must wait, and note that it does; the hold that is being tried doesn't count."""
        for key in keys_of(manifest):
            hold = self._holds.get(key)
            if hold is not None and key != trying:
                hold.first = min(hold.first, sequence)
                return True
        return False

    def has(self, calling_ae: str, study: str) -> bool:
        """Tell whether what a calling AE has sent of a study is held back."""
        return (HoldKind.CALLING_AE, calling_ae) in self._holds or (HoldKind.STUDY, study) in self._holds

    def failures(self, key: HoldKey) -> int:
        """Return how often in a row what a key stands for has failed."""
        hold = self._holds.get(key)
        return 0 if hold is None else hold.failures

    def set(self, key: HoldKey, *, first: int, until: float) -> None:
        """Hold objects back; counts one more failure."""
        hold = self._holds.get(key)
        if hold is None:
            self._holds[key] = Hold(first, until, 1)
        else:
            hold.first, hold.until, hold.failures = first, until, hold.failures + 1

    def let_all_try(self, now: float) -> None:
        """Let the next attempt of each hold be due."""
        for hold in self._holds.values():
            hold.until = min(hold.until, now)

    def release(self, key: HoldKey) -> None:
        """Hold nothing back any more for this key."""
        self._holds.pop(key, None)

    def due(self, now: float) -> tuple[HoldKey, Hold] | None:
        """Return the hold whose next attempt is due, the one with the oldest object first."""
        due = [(hold.first, key) for key, hold in self._holds.items() if hold.until <= now]
        if not due:
            return None
        _, key = min(due, key=lambda pair: pair[0])
        return key, self._holds[key]

    def next_due(self) -> float | None:
        """Return the loop time of the next attempt; None: nothing is held back."""
        return min((hold.until for hold in self._holds.values()), default=None)
