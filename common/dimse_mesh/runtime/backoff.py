"""When to try again: exponential, jittered, bounded. Pure."""

from __future__ import annotations

import random

from dimse_mesh.runtime.settings_retry import RetrySettings

_MOST_DOUBLINGS = 32


def pause_after(failures: int, settings: RetrySettings) -> float:
    """Return the seconds to wait after so many failures in a row, from 1."""
    doubled = settings.first * float(2 ** min(failures - 1, _MOST_DOUBLINGS))
    return min(doubled, settings.longest) * random.uniform(0.5, 1.0)
