"""The `up` command: files in, a supervisor run."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio

from dimse_mesh.app.nats_config import load_all
from dimse_mesh.app.supervisor import Supervisor, Zone
from dimse_mesh.runtime.logging import configure_logging
from dimse_mesh.runtime.secrecy import keep_secrets
from dimse_mesh.runtime.supervised import Supervised


def supervise(
    files: Sequence[Path], *, nats_port: int | None, data_dir: Path | None, announce: Callable[[], None]
) -> None:
    """Run the zones that `files` describe until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the problems of all files together.
        StartError, MeshError: something can't start.
    """
    Supervised.from_environment(os.environ).follow_parent()
    zones = [Zone(file.resolve(), settings) for file, settings in zip(files, load_all(files), strict=True)]
    configure_logging(zones[0].settings.observability, {"service": "supervisor"})
    keep_secrets(allow_debuggers=any(zone.settings.observability.allow_debuggers for zone in zones))
    anyio.run(Supervisor(zones, nats_port=nats_port, data_dir=data_dir, announce=announce).run)
