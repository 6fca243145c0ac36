"""Zones that know each other's keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dimse_mesh.encryption.keys import ZoneKeys, write_key


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


@dataclass(frozen=True, slots=True)
class FolderKeys:
    """A zone's keys, as they stand in its folder at each look."""

    zone: str
    folder: Path
    others: dict[str, Sequence[str] | Path]

    def now(self) -> ZoneKeys:
        """Return the keys."""
        return ZoneKeys.load(self.zone, self.folder, self.others)

    again = now


class KeyChange:
    """Zones that read each other's public keys from files; all take the steps of docs/encryption.md, "New keys"."""

    def __init__(self, directory: Path, *zones: str) -> None:
        self._directory = directory
        self._zones = zones
        self._texts = {zone: [write_key(self.folder(zone) / "1.key").public.text] for zone in zones}
        self._tell()

    def folder(self, zone: str) -> Path:
        """Return the folder of a zone's private keys."""
        return self._directory / f"{zone}-keys"

    def _known(self, zone: str, other: str) -> Path:
        return self._directory / f"{other}-for-{zone}.pub"

    @property
    def sections(self) -> dict[str, dict[str, Any]]:
        """Each zone's section `encryption`."""
        return {
            zone: {
                "keys": str(self.folder(zone)),
                "zones": {
                    other: {"file": str(self._known(zone, other))} for other in self._zones if other != zone
                },
            }
            for zone in self._zones
        }

    def _tell(self) -> None:
        for zone in self._zones:
            for other in self._zones:
                if other != zone:
                    self._known(zone, other).write_text("".join(f"{text}\n" for text in self._texts[other]))

    def make(self) -> None:
        """Make keys that wait (step 1)."""
        for zone in self._zones:
            self._texts[zone].insert(0, write_key(self.folder(zone) / "2.next").public.text)

    def tell(self) -> None:
        """Put them first in the other zones' files (step 2)."""
        self._tell()

    def use(self) -> None:
        """Seal with them (step 3)."""
        for zone in self._zones:
            (self.folder(zone) / "2.next").rename(self.folder(zone) / "2.key")

    def forget(self) -> None:
        """Take the old ones away (step 4)."""
        for zone in self._zones:
            del self._texts[zone][1:]
        self._tell()
        for zone in self._zones:
            (self.folder(zone) / "1.key").unlink()
