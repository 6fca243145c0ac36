"""An operator's commands, against the hospital."""

from __future__ import annotations

import json
from typing import Any

from typer.testing import CliRunner

from dimse_mesh.app.queue_commands import queue_app
from tests.durable.site import ARCHIVE, Site

RUNNER = CliRunner()


def queue(where: Site, *arguments: str, code: int = 0) -> str:
    """Run `dimse-mesh queue`; return what it prints."""
    result = RUNNER.invoke(queue_app, [*arguments, "--config", str(where.hospital)])
    assert result.exit_code == code, result.output
    return result.stdout


def numbers(where: Site, destination: str = ARCHIVE) -> dict[str, Any]:
    """Return what `queue list` says of a destination."""
    for line in queue(where, "list", "--json").splitlines():
        row: dict[str, Any] = json.loads(line)
        if row["destination"] == destination:
            return row
    raise AssertionError(destination)


def dead_letters(where: Site) -> list[dict[str, Any]]:
    """Return the dead letters of the archive."""
    return [json.loads(line) for line in queue(where, "show", ARCHIVE, "--failed", "--json").splitlines()]


def damaged(where: Site) -> str:
    """Return what `queue damaged` prints when there is something."""
    return queue(where, "damaged", ARCHIVE, code=1)
