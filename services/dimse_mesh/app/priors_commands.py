"""`dimse-mesh priors`: fetch a patient's earlier studies when a new one arrives."""

from __future__ import annotations

from typing import Annotated

import typer

from dimse_mesh.app.failures import failures
from dimse_mesh.app.options import ConfigOption, NatsOption

priors_app = typer.Typer(
    help="Priors: a patient's earlier studies, fetched when a new one arrives.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@priors_app.command()
def run(config: ConfigOption, *, nats: NatsOption = None) -> None:
    """Follow the zone's new studies and have their priors moved; print `ready`. SIGTERM ends it between moves."""
    from dimse_mesh.app.priors import follow

    with failures():
        raise SystemExit(follow(config, nats))


@priors_app.command()
def now(
    config: ConfigOption,
    *,
    study: Annotated[str, typer.Option(metavar="UID", help="Study Instance UID of the study to be read.")],
    nats: NatsOption = None,
) -> None:
    """Have the priors of one study moved, unless they were. Not while `priors run` has the same state file."""
    from dimse_mesh.app.priors import fetch_now

    with failures():
        raise SystemExit(fetch_now(config, nats, study))


@priors_app.command()
def status(config: ConfigOption) -> None:
    """Say how many studies wait, have failed and were moved. Not while `priors run` has the same state file."""
    from dimse_mesh.app.priors import print_state

    with failures():
        raise SystemExit(print_state(config))
