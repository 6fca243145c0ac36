"""`dimse-mesh audit`: the audit trail on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dimse_mesh.app.failures import failures

audit_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The audit trail.")


@audit_app.callback()
def _group() -> None:
    """Keep `audit verify` a command of its own name, though it is the only one."""


@audit_app.command()
def verify(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Files of a trail, or its folder.", exists=True)
    ],
    *,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The key of the chain (audit.key).", dir_okay=False)
    ] = None,
    received: Annotated[
        int,
        typer.Option(metavar="NUMBER", help="The last sequenceId that the repository has: as many are here."),
    ] = 0,
) -> None:
    """Say whether records are missing from an audit trail or were changed. Exit code 1: some are."""
    from dimse_mesh.app.audit_verify import verify_paths

    with failures():
        raise SystemExit(verify_paths(paths, key, received=received))
