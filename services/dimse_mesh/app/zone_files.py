"""Zones whose files are given together, to `up` or `nats-config`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from dimse_mesh.runtime.settings import ZoneSettings, load_settings
from dimse_mesh.runtime.settings_association import Listener
from dimse_mesh.runtime.settings_errors import ConfigurationError

LAST_PORT = 65535


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


def port_problems(zones: Sequence[Zone], processes: Sequence[int]) -> Iterator[str]:
    """Yield why these zones can't listen beside each other on one machine.

    Args:
        processes: how many each zone has; each of them serves its health and metrics on a port of its own.
    """
    seen: list[tuple[Path, Listener]] = []
    for zone, count in zip(zones, processes, strict=True):
        settings = zone.settings
        wanted = [
            (f"association.listeners[{number}].port", [listener])
            for number, listener in enumerate(settings.association.listeners)
        ]
        http = settings.observability.http
        if http is not None and http.port:
            ports = range(http.port, min(http.port + count, LAST_PORT + 1))
            if len(ports) < count:
                yield f"{zone.config}: observability.http.port: {count} processes need one each, up to {LAST_PORT}"
            wanted.append(
                (
                    f"observability.http.port, of {count} processes",
                    [Listener(host=http.host, port=port) for port in ports],
                )
            )
        for where, listeners in wanted:
            taken = (
                (listener, file)
                for listener in listeners
                for file, other in seen
                if listener.collides_with(other)
            )
            for listener, file in islice(taken, 1):
                yield f"{zone.config}: {where}: {listener.port} is used in {file} too"
            seen += [(zone.config, listener) for listener in listeners]
