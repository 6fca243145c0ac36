"""Whether targets answer, from what the executors count: counters only grow, so what is new since last time decides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dimse_mesh.operator.pods import PodReport
from dimse_mesh.schemas.association import OpenResult

_ANSWERS = (OpenResult.ACCEPTED, OpenResult.REJECTED, OpenResult.ABORTED)
_SAYS_NOTHING = frozenset({OpenResult.LIMIT, OpenResult.BUSY})
"""Results that come from the executor itself: the target wasn't asked."""


@dataclass(slots=True)
class Targets:
    """The latest result by AE title."""

    latest: dict[str, str] = field(default_factory=dict)
    _counted: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """(pod, AE title, result) -> count."""

    def saw(self, executors: Iterable[PodReport]) -> None:
        """Take in the counters of the executors' pods. An answer outweighs failures of the same round."""
        news: dict[str, set[str]] = {}
        counted: dict[tuple[str, str, str], int] = {}
        for pod in executors:
            for (title, result), count in pod.openings.items():
                key = (pod.name, title, result)
                counted[key] = count
                if count > self._counted.get(key, 0) and result not in _SAYS_NOTHING:
                    news.setdefault(title, set()).add(result)
        self._counted = counted
        for title, results in news.items():
            answered = [result for result in _ANSWERS if result in results]
            self.latest[title] = answered[0] if answered else min(results)
