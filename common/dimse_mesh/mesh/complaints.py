"""What was dropped, and who sent it, in the log: the first of its kind at once, then one line a minute with a count.

Whoever sends rubbish, or claims what is not its to say, must show in the log and must not be able to fill it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from dimse_mesh.mesh.quiet import Quiet
from dimse_mesh.schemas.addresses import InstanceAddress

INTERVAL = 60.0
"""Seconds between two lines about the same."""


class Complaints:
    """Of one part of an instance.

    Args:
        log: of that part.
        clock: seconds.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._quiet = Quiet(interval=INTERVAL, clock=clock)

    def dropped(self, what: str, sender: InstanceAddress | None) -> None:
        """Log that a message was dropped.

        Args:
            what: it was, and why it was dropped, if that needs saying; one of few phrases.
            sender: as the subject names it; its instance is not told apart from others of its zone and role.
        """
        whom = "nobody that is known" if sender is None else f"{sender.role.value} of zone {sender.zone}"
        more = self._quiet.more((what, whom))
        if more is not None:
            self._log.warning("dropped %s, from %s%s", what, whom, more)
