"""Zones whose files are given together, to `up` or `nats-config`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dimse_mesh.runtime.settings import ZoneSettings, load_settings
from dimse_mesh.runtime.settings_association import Listener
from dimse_mesh.runtime.settings_errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone's file and what it says."""

    config: Path
    settings: ZoneSettings


def load_zones(files: Sequence[Path]) -> list[Zone]:
    """Read every zone's file.

    Raises:
        ConfigurationError: the problems of all files, alone and together: two have the same name.
    """
    zones: list[Zone] = []
    named: dict[str, Path] = {}
    problems: list[str] = []
    for file in files:
        try:
            settings = load_settings(file)
        except ConfigurationError as error:
            problems += error.problems
            continue
        if settings.zone in named:
            problems.append(f"{file}: zone: {settings.zone!r} is the zone of {named[settings.zone]} too")
        named.setdefault(settings.zone, file)
        zones.append(Zone(file, settings))
    if problems:
        raise ConfigurationError(problems)
    return zones


def port_problems(zones: Sequence[Zone]) -> Iterator[str]:
    """Yield why these zones can't listen beside each other on one machine."""
    seen: list[tuple[Path, Listener]] = []
    for zone in zones:
        listeners = zone.settings.association.listeners
        for number, listener in enumerate(listeners):
            for file, other in seen:
                if listener.collides_with(other):
                    where = f"association.listeners[{number}].port"
                    yield f"{zone.config}: {where}: {listener.port} is used in {file} too"
        seen += [(zone.config, listener) for listener in listeners]
