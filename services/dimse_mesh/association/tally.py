"""Who holds how many associations, and who opens them how fast."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dimse_mesh.endpoint import Occupancy
from dimse_mesh.runtime.settings_limits import AssociationLimits

_MOST_ADDRESSES: Final = 4096
"""Addresses whose rate is remembered; of more, the one that was quiet longest is forgotten."""


@dataclass(slots=True)
class _Bucket:
    """Openings that an address may still make."""

    left: float
    at: float


class OpeningRate:
    """A token bucket for each address.

    Args:
        per_second: openings that an address gets back a second; 0: no limit.
        at_once: openings that it may save up.
    """

    def __init__(self, *, per_second: int, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._at_once = at_once
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def exceeded(self, address: str) -> bool:
        """Count an opening from `address`; tell whether it is one too many."""
        if not self._per_second:
            return False
        now = self._clock()
        bucket = self._buckets.pop(address, None) or _Bucket(self._at_once, now)
        bucket.left = min(bucket.left + (now - bucket.at) * self._per_second, self._at_once)
        bucket.at = now
        if len(self._buckets) >= _MOST_ADDRESSES:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[address] = bucket
        if bucket.left < 1:
            return True
        bucket.left -= 1
        return False


class Tally:
    """The open associations of a front-end, by address and by AE titles."""

    def __init__(self, limits: AssociationLimits) -> None:
        self.occupancy = Occupancy()
        self.rate = OpeningRate(per_second=limits.openings_per_second, at_once=limits.openings_at_once)
        self._addresses: Counter[str] = Counter()
        self._calling: Counter[str] = Counter()
        self._called: Counter[str] = Counter()

    def enter(self, address: str, calling_ae: str, called_ae: str) -> Callable[[], None]:
        """Count one more; what is returned counts it out again, once."""
        held = ((self._addresses, address), (self._calling, calling_ae), (self._called, called_ae))
        for counter, key in held:
            counter[key] += 1
        self.occupancy.enter()
        entered = True

        def leave() -> None:
            nonlocal entered
            if not entered:
                return
            entered = False
            for counter, key in held:
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]
            self.occupancy.leave()

        return leave

    def from_address(self, address: str) -> int:
        """Return how many associations are open from an address."""
        return self._addresses[address]

    def of_calling_ae(self, ae_title: str) -> int:
        """Return how many associations a calling AE title has open."""
        return self._calling[ae_title]

    def to_called_ae(self, ae_title: str) -> int:
        """Return how many associations are open to a called AE title."""
        return self._called[ae_title]
