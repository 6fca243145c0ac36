"""`dimse-mesh encryption-keys`: a zone's keys for the end-to-end encryption (docs/encryption.md)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dimse_mesh.encryption.errors import UnusableKey
from dimse_mesh.encryption.keys import CURRENT, NEXT, PrivateKey, read_folder, write_key
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.settings import ZoneSettings, load_settings
from dimse_mesh.runtime.settings_errors import ConfigurationError

_NEXT_TEXT: Final = "next: opens; seals after --use-next"


def list_keys(file: Path, *, new: bool, use_next: bool) -> str:
    """Return the keys of a zone, one a line: id, what it does, public key, file.

    Args:
        new: make one first.
        use_next: seal with the key that was made last, first.

    Raises:
        ConfigurationError: the zone's file is wrong, or names no folder of keys.
        StartError: a key is unusable, or can't be made.
    """
    settings = load_settings(file)
    folder = _folder_of(settings, file)
    try:
        if new:
            _make(settings.zone, folder)
        if use_next:
            _use_next(folder)
        keys = read_folder(folder)
    except UnusableKey as error:
        raise StartError(f"encryption: {error}") from error
    current = next((key for key in keys if not key.is_next), None)
    lines = [
        f"{key.public.id}  {_NEXT_TEXT if key.is_next else 'seals and opens' if key is current else 'opens'}"
        f"  {key.public.text}  {folder / key.name}\n"
        for key in keys
    ]
    return "".join(lines)


def _folder_of(settings: ZoneSettings, file: Path) -> Path:
    if settings.encryption is None:
        raise ConfigurationError(
            [f"{file}: encryption.keys: names no folder; add encryption: {{keys: FOLDER}}"]
        )
    return settings.encryption.keys


def _has_current(folder: Path) -> bool:
    return folder.is_dir() and any(not key.is_next for key in read_folder(folder))


def _make(zone: str, folder: Path) -> PrivateKey:
    """Make a key: the first one is used at once, a later one when the other zones know it."""
    suffix = NEXT if _has_current(folder) else CURRENT
    return write_key(folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{_plain(zone)}{suffix}")


def _plain(zone: str) -> str:
    return "".join(character if character.isalnum() else "_" for character in zone)


def _use_next(folder: Path) -> None:
    coming = next((key for key in read_folder(folder) if key.is_next), None)
    if coming is None:
        raise StartError(f"{folder}: holds no key that waits; make one with --new")
    path = folder / coming.name
    path.rename(path.with_suffix(CURRENT))
