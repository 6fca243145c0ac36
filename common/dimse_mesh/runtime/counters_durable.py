"""What durable delivery counts, by source zone and destination of the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
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
    waits_for: str = ""
    """The cause for which it waits, as `attempts` names causes, or `paused`; empty: it doesn't wait."""

    def attempted(self, cause: str) -> None:
        """Count an attempt."""
        self.attempts[cause] = self.attempts.get(cause, 0) + 1


class SpoolState(StrEnum):
    """What becomes of the objects of a spool, beside the causes for which a delivery service waits."""

    IDLE = "idle"
    """Nothing waits."""
    DELIVERING = "delivering"
    PAUSED = "paused"
    NOBODY = "nobody"
    """Objects wait, and no delivery service has ever looked."""
    SILENT = "silent"
    """The oldest object stays, and the delivery service gives no reason."""


@dataclass(slots=True)
class SpoolCounters:
    """One spool, as its own zone sees it."""

    reachable: bool = False
    objects: int = 0
    oldest: float = 0.0
    """Seconds that the oldest object has waited; 0: none waits."""
    bytes_kept: int = 0
    bytes_limit: int = 0
    disk_share: float = 0.0
    """Share of its disk that is in use, whoever uses it; 0: the disk isn't seen."""
    state: str = ""
    """A `SpoolState`, or a cause as in `QueueCounters.attempts`; empty: not seen yet."""
    refusing: str = ""
    """Why clients are refused: `full`, `disk` or `frozen`; empty: they aren't."""


@dataclass(slots=True)
class CommitmentCounters:
    """Requests for storage commitment, as a front-end sees them."""

    pending: int = 0
    """Those that it has to report on, now."""
    outcomes: dict[str, int] = field(default_factory=dict)
    """What became of them, by outcome: `requested`, `reported`, ..."""

    def count(self, outcome: str) -> None:
        """Count an outcome."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
