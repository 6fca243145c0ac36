"""What durable delivery counts, by source zone and destination of the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class QueueKey(NamedTuple):
    """Which queue: the zone that keeps the objects, and the destination's name."""

    source: str
    destination: str


@dataclass(slots=True)
class QueueCounters:
    """One queue, as its delivery service sees it."""

    attempts: dict[str, int] = field(default_factory=dict)
    """By cause; `delivered` is the good one."""
    dead_letters: int = 0
    """Objects that were given up, since the start."""
    objects: int = 0
    """Waiting now."""
    oldest: float = 0.0
    """Seconds that the oldest of them has waited; 0: none waits."""
    bytes_kept: int = 0
    """What the spool takes on disk, dead letters included."""
    bytes_limit: int = 0

    def attempted(self, cause: str) -> None:
        """Count an attempt."""
        self.attempts[cause] = self.attempts.get(cause, 0) + 1
