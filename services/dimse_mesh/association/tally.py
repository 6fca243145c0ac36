"""Who holds how many associations, and who opens them how fast."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from dimse_mesh.endpoint import Occupancy
from dimse_mesh.runtime.settings_limits import AssociationLimits

_MOST_KEPT: Final = 4096
"""Addresses, or AE titles, whose rate is remembered."""
_LOOKS: Final = 16
"""Of those that were quiet longest, how many are looked at for one to forget."""


@dataclass(slots=True)
class _Bucket:
    """Openings that an address or an AE title has left."""

    left: float
    at: float


class OpeningRate:
    """A token bucket for each address, or for each AE title.

    Whoever makes up a new title for each association doesn't empty the memory of those who have used theirs up: the one
    that is forgotten has most left of those that were quiet longest.

    Args:
        per_second: openings that each gets back a second; 0: no limit.
        at_once: openings that each may save up.
    """

    def __init__(self, *, per_second: int, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._at_once = at_once
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        """The one that was quiet longest first."""

    def exceeded(self, key: str) -> bool:
        """Tell whether another opening is one too many."""
        bucket = self._buckets.get(key)
        return bucket is not None and self._left(bucket, self._clock()) < 1

    def count(self, key: str) -> None:
        """Count an opening."""
        if not self._per_second:
            return
        now = self._clock()
        bucket = self._buckets.pop(key, None)
        if bucket is None:
            bucket = _Bucket(self._at_once, now)
            if len(self._buckets) >= _MOST_KEPT:
                self._forget_one(now)
        bucket.left, bucket.at = self._left(bucket, now) - 1, now
        self._buckets[key] = bucket

    def _left(self, bucket: _Bucket, now: float) -> float:
        return min(bucket.left + (now - bucket.at) * self._per_second, self._at_once)

    def _forget_one(self, now: float) -> None:
        quiet = islice(self._buckets.items(), _LOOKS)
        key, _ = max(quiet, key=lambda item: self._left(item[1], now))
        del self._buckets[key]


class Tally:
    """The open associations of a front-end and how fast they are opened, by address and by AE titles."""

    def __init__(self, limits: AssociationLimits) -> None:
        self.occupancy = Occupancy()
        self._address_rate = OpeningRate(
            per_second=limits.openings_per_second, at_once=limits.openings_at_once
        )
        self._calling_rate = OpeningRate(
            per_second=limits.calling_ae_openings_per_second, at_once=limits.calling_ae_openings_at_once
        )
        self._called_rate = OpeningRate(
            per_second=limits.called_ae_openings_per_second, at_once=limits.called_ae_openings_at_once
        )
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

    def address_too_fast(self, address: str) -> bool:
        """Tell whether an opening is one too many from an address; else count it, whatever comes of it."""
        if self._address_rate.exceeded(address):
            return True
        self._address_rate.count(address)
        return False

    def calling_ae_too_fast(self, ae_title: str) -> bool:
        """Tell whether a calling AE title has opened as many associations as it may for now."""
        return self._calling_rate.exceeded(ae_title)

    def called_ae_too_fast(self, ae_title: str) -> bool:
        """Tell whether as many associations as may be for now were opened to a called AE title."""
        return self._called_rate.exceeded(ae_title)

    def let_in(self, calling_ae: str, called_ae: str) -> None:
        """Count an opening for its AE titles: who is refused uses up nothing of the titles that it has named."""
        self._calling_rate.count(calling_ae)
        self._called_rate.count(called_ae)
