"""Whether a spool takes more objects: judged by what is kept, and said to the front-ends. The judgement is pure."""

from __future__ import annotations

import os
from pathlib import Path

from dimse_mesh.runtime.settings_durable import HighWaterSettings

FULL, DISK, FROZEN = "full", "disk", "frozen"


def refusing(
    before: str, settings: HighWaterSettings, *, spool_share: float, disk_share: float, frozen: bool
) -> str:
    """Return why clients are to be refused; empty: they aren't.

    Args:
        before: why they were until now. Then a share must fall further, below the margin.
        spool_share: what the spool takes of `spool.max_bytes`.
        disk_share: what everybody takes of the disk; 0: it isn't watched.
    """
    if frozen:
        return FROZEN
    for reason, share, high in (
        (FULL, spool_share, settings.spool_share),
        (DISK, disk_share, settings.disk_share),
    ):
        low = high - settings.margin
        if high < 1 and share >= (low if before == reason else high):
            return reason
    return ""


def disk_share(folder: Path | None) -> float:
    """Return the share of a folder's disk that is in use; 0: there is no such folder here."""
    if folder is None:
        return 0.0
    try:
        state = os.statvfs(folder)
    except OSError:
        return 0.0
    used = state.f_blocks - state.f_bfree
    return used / (used + state.f_bavail) if used + state.f_bavail else 1.0
