"""`dimse-mesh check`: the hooks of a zone's routes are loaded as they will be, in a process of their own."""

from __future__ import annotations

from pathlib import Path

import anyio

from dimse_mesh.hooks import HookFailed, HookRunner
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.runtime.settings_errors import ConfigurationError


def check_hooks(settings: ZoneSettings, file: Path) -> None:
    """Load the hooks of every route.

    Raises:
        ConfigurationError: one can't be: a keyword is unknown, a key file can be read by others, ...
    """
    problems = anyio.run(_problems, settings, file) if settings.has_hooks else []
    if problems:
        raise ConfigurationError(problems)


async def _problems(settings: ZoneSettings, file: Path) -> list[str]:
    problems: list[str] = []
    runner = HookRunner(settings.delivery.hooks)
    try:
        for number, route in enumerate(settings.routes):
            try:
                if route.hooks:
                    await runner.check(route.hooks)
            except HookFailed as failure:
                problems.append(f"{file}: routes[{number}].hooks: {failure}")
    finally:
        await runner.close()
    return problems
