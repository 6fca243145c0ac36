"""A share of a queue: each is delivered on an association of its own, and every study is in one of them (ADR 30).

So a destination that takes several associations gets several studies at once, and each of them in order. One share is
the whole queue, in the order of its arrival.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueShare:
    """One of the parts into which the studies of a queue fall.

    Attributes:
        number: from 0 on.
        of: how many there are.
    """

    number: int = 0
    of: int = 1

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the queue."""
        return self.of == 1

    @property
    def is_first(self) -> bool:
        """Whether it is the one to which everything falls that is of no study."""
        return self.number == 0

    def has(self, study: str) -> bool:
        """Tell whether a study's objects are in it.

        Args:
            study: its token, as it stands in a spool.
        """
        return self.of == 1 or zlib.crc32(study.encode()) % self.of == self.number
