"""Break something for a while; whatever happens meanwhile, it is mended."""

from __future__ import annotations

import time
from collections.abc import Callable

OUTAGE = 1.0
"""Seconds that servers and links are gone."""


def outage(breaks: Callable[[], object], heals: Callable[[], object], *, seconds: float = OUTAGE) -> None:
    """Break, wait, heal: an interrupt in between (Ctrl-C in a soak) leaves nothing broken."""
    breaks()
    try:
        time.sleep(seconds)
    finally:
        heals()
