"""The `run` command: one service in this process."""

from __future__ import annotations

import os
from pathlib import Path

from dimse_mesh.app.hosting import hosting
from dimse_mesh.app.services import main_of
from dimse_mesh.runtime.process import run_service
from dimse_mesh.runtime.settings import load_settings
from dimse_mesh.runtime.settings_errors import ConfigurationError
from dimse_mesh.runtime.supervised import FAILED, Supervised
from dimse_mesh.schemas.service import ServiceName


def run_one(name: str, config: Path) -> int:
    """Run the service of that name until SIGTERM or SIGINT; return the exit code.

    Raises:
        ConfigurationError: the file can't be used.
    """
    service = ServiceName(name.replace("-", "_"))
    try:
        settings = load_settings(config)
    except ConfigurationError as error:
        Supervised.from_environment(os.environ).report(FAILED, error.problems[0])
        raise
    handlers = {handler: main_of(handler) for handler in settings.hosted_by(service)}
    main = main_of(service)
    return run_service(service, settings, hosting(main, handlers) if handlers else main)
