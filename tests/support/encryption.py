"""Zones that know each other's keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dimse_mesh.encryption.keys import write_key


def encryption_of(directory: Path, *zones: str) -> dict[str, dict[str, Any]]:
    """Make a key for each zone below `directory`; return each zone's section `encryption`."""
    public = {zone: write_key(directory / f"{zone}-keys" / "1.key").public.text for zone in zones}
    return {
        zone: {
            "keys": str(directory / f"{zone}-keys"),
            "zones": {other: text for other, text in public.items() if other != zone},
        }
        for zone in zones
    }
