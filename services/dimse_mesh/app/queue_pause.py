"""`dimse-mesh queue pause` and `resume`."""

from __future__ import annotations

import math
import time

from dimse_mesh.app.queue import Queues
from dimse_mesh.runtime.settings_errors import ConfigurationError
from dimse_mesh.schemas.spool import LONGEST_REASON, QueuePause


def pause_of(reason: str, minutes: float | None) -> QueuePause:
    """Return the word that nothing be delivered until `resume`, or for some minutes from now.

    Raises:
        ConfigurationError: the reason is too long, or the time has no end.
    """
    if len(reason) > LONGEST_REASON:
        raise ConfigurationError(
            [f"--reason: at most {LONGEST_REASON} characters, this one has {len(reason)}"]
        )
    if minutes is not None and not math.isfinite(minutes):
        raise ConfigurationError(["--minutes: a number; without it the pause lasts until `queue resume`"])
    until = None if minutes is None else time.time() + 60 * minutes
    return QueuePause(paused=True, reason=reason, until=until)


async def pause(queues: Queues, destination: str, word: QueuePause) -> int:
    """Let nothing be delivered for now."""
    await queues.inspector(destination).set_pause(word)
    return 0


async def resume(queues: Queues, destination: str) -> int:
    """Let deliveries go on; the next attempt, if one is waited for, is made at once."""
    await queues.inspector(destination).set_pause(QueuePause(paused=False))
    return 0
