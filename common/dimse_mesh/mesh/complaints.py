"""What was dropped, and who sent it, in the log: the first of its kind at once, then one line a minute with a count.

Whoever sends rubbish, or claims what is not its to say, must show in the log and must not be able to fill it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from dimse_mesh.schemas.addresses import InstanceAddress

INTERVAL = 60.0
"""Seconds between two lines about the same."""
_MOST = 256
"""Kinds of complaint that are told apart; of more, the oldest is forgotten."""


@dataclass(slots=True)
class _Said:
    at: float
    unsaid: int = 0


class Complaints:
    """Of one part of an instance.

    Args:
        log: of that part.
        clock: seconds.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._said: dict[tuple[str, str], _Said] = {}

    def dropped(self, what: str, sender: InstanceAddress | None) -> None:
        """Log that a message was dropped.

        Args:
            what: it was, and why it was dropped, if that needs saying; one of few phrases.
            sender: as the subject names it; its instance is not told apart from others of its zone and role.
        """
        whom = "nobody that is known" if sender is None else f"{sender.role.value} of zone {sender.zone}"
        now = self._clock()
        said = self._said.get((what, whom))
        if said is not None and now - said.at < INTERVAL:
            said.unsaid += 1
            return
        more = f" ({said.unsaid} more in the last minute)" if said is not None and said.unsaid else ""
        self._log.warning("dropped %s, from %s%s", what, whom, more)
        self._said.pop((what, whom), None)
        self._said[what, whom] = _Said(now)
        if len(self._said) > _MOST:
            del self._said[next(iter(self._said))]
