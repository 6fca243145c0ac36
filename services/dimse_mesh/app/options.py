"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dimse_mesh.app.query_models import Level, ModelName

ConfigOption = Annotated[Path, typer.Option("--config", help="The zone's YAML file.", dir_okay=False)]
ZoneOption = Annotated[
    Path | None, typer.Option("--config", help="A zone's YAML file: where NATS is.", dir_okay=False)
]
NatsOption = Annotated[str | None, typer.Option("--nats", help="URL of NATS, instead of --config.")]
RootOption = Annotated[
    str, typer.Option("--subject-root", help="First token(s) of every subject, with --nats.")
]
KeysOption = Annotated[
    list[str] | None,
    typer.Option(
        "--key", "-k", metavar="KEYWORD[=VALUE]", help="A key to match or, without a value, to return."
    ),
]
LevelOption = Annotated[
    Level | None, typer.Option(case_sensitive=False, help="Query/retrieve level. None: as the keys say.")
]
ModelOption = Annotated[ModelName, typer.Option(case_sensitive=False, help="Information model.")]
CallingOption = Annotated[str, typer.Option("--calling", help="The calling AE title.")]
