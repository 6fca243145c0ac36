"""The `up` command: files in, a supervisor run."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio

from dimse_mesh.app.nursery import Nursery
from dimse_mesh.app.supervisor import Supervisor, children_of, zones_delivered_to
from dimse_mesh.app.zone_files import Zone, load_zones, port_problems
from dimse_mesh.runtime.logging import configure_logging
from dimse_mesh.runtime.secrecy import keep_secrets
from dimse_mesh.runtime.settings_errors import ConfigurationError
from dimse_mesh.runtime.supervised import Supervised


def supervise(
    files: Sequence[Path], *, nats_port: int | None, data_dir: Path | None, announce: Callable[[], None]
) -> None:
    """Run the zones that `files` describe until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the problems of all files, alone and beside each other.
        StartError, MeshError: something can't start.
    """
    Supervised.from_environment(os.environ).follow_parent()
    zones = _zones(files)
    configure_logging(zones[0].settings.observability, {"service": "supervisor"})
    keep_secrets(allow_debuggers=any(zone.settings.observability.allow_debuggers for zone in zones))
    nursery = Nursery()
    nursery.start()
    try:
        supervisor = Supervisor(
            zones,
            nursery=nursery,
            nats_port=nats_port,
            data_dir=data_dir or _default_data_dir(zones),
            announce=announce,
        )
        anyio.run(supervisor.run)
    finally:
        nursery.close()


def _default_data_dir(zones: Sequence[Zone]) -> Path | None:
    """Return where objects of durable routes are kept if nobody says: beside the zone's file, where they outlast us."""
    durable = next((zone for zone in zones if zone.settings.is_durable), None)
    return None if durable is None else durable.config.with_suffix(".jetstream")


def _zones(files: Sequence[Path]) -> list[Zone]:
    """Return the zones of these files.

    Raises:
        ConfigurationError: as `supervise`.
    """
    zones = load_zones(files)
    delivered_to = zones_delivered_to(zones)
    processes = [len(children_of(zone, {}, delivered_to)) for zone in zones]
    problems = list(port_problems(zones, processes))
    if not any(processes):
        problems.append("nothing to run: every zone's instances are 0")
    if problems:
        raise ConfigurationError(problems)
    return [Zone(zone.config.resolve(), zone.settings) for zone in zones]
