"""`dimse-mesh queue`: the spools of a zone's durable routes on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dimse_mesh.app.failures import failures
from dimse_mesh.app.options import ConfigOption

queue_app = typer.Typer(
    help="What durable routes keep: look into it, and decide about it. FILE describes the source zone.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Destination = Annotated[str, typer.Argument(metavar="DEST", help="AE title, or zone:NAME.")]
EveryDestination = Annotated[
    str | None, typer.Argument(metavar="[DEST]", help="AE title, or zone:NAME. None: all.")
]
Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="Object ids or SOP instance UIDs. None: all.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@queue_app.command("list")
def list_(*, config: ConfigOption, as_json: Json = False) -> None:
    """Count what waits for each destination."""
    from dimse_mesh.app.queue import show_list, with_queues

    with failures():
        raise SystemExit(with_queues(config, lambda queues: show_list(queues, as_json=as_json)))


@queue_app.command()
def why(destination: EveryDestination = None, *, config: ConfigOption) -> None:
    """Say in one sentence what each queue waits for."""
    from dimse_mesh.app.queue import show_why, with_queues

    with failures():
        raise SystemExit(with_queues(config, lambda queues: show_why(queues, destination)))


@queue_app.command()
def show(
    destination: Destination,
    *,
    config: ConfigOption,
    failed: Annotated[bool, typer.Option("--failed", help="The dead letters.")] = False,
    limit: Annotated[int, typer.Option("--max", min=0, help="Stop after so many. 0: all.")] = 100,
    as_json: Json = False,
) -> None:
    """List the objects that wait, or the dead letters with their causes."""
    from dimse_mesh.app.queue import show_objects, with_queues

    with failures():
        raise SystemExit(
            with_queues(
                config,
                lambda queues: show_objects(queues, destination, failed=failed, limit=limit, as_json=as_json),
            )
        )


@queue_app.command()
def damaged(destination: EveryDestination = None, *, config: ConfigOption) -> None:
    """List the SOP instance UIDs of objects that the store has lost, to ask for them again. 1: there are some."""
    from dimse_mesh.app.queue import show_damaged, with_queues

    with failures():
        raise SystemExit(with_queues(config, lambda queues: show_damaged(queues, destination)))


@queue_app.command()
def commitments(*, config: ConfigOption, as_json: Json = False) -> None:
    """List the requests for storage commitment that are not reported yet, and say why."""
    from dimse_mesh.app.queue import with_queues
    from dimse_mesh.app.queue_commitments import show_commitments

    with failures():
        raise SystemExit(with_queues(config, lambda queues: show_commitments(queues, as_json=as_json)))


@queue_app.command()
def retry(destination: Destination, ids: Ids = None, *, config: ConfigOption) -> None:
    """Put dead letters at the end of the queue."""
    from dimse_mesh.app.queue import decide
    from dimse_mesh.app.queue import retry as put_back

    with failures():
        raise SystemExit(
            decide(
                config,
                "queue retry",
                destination,
                lambda queues: put_back(queues, destination, ids or []),
                ids=ids or [],
            )
        )


@queue_app.command()
def redirect(
    destination: Destination,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Another destination of a durable route.")],
    ids: Ids = None,
    *,
    config: ConfigOption,
    waiting: Annotated[bool, typer.Option("--waiting", help="Objects that wait, not dead letters.")] = False,
) -> None:
    """Send dead letters to another destination instead. Pause DEST before you redirect what waits."""
    from dimse_mesh.app.queue import decide
    from dimse_mesh.app.queue_redirect import redirect as send_elsewhere

    with failures():
        raise SystemExit(
            decide(
                config,
                "queue redirect",
                destination,
                lambda queues: send_elsewhere(queues, destination, other, ids or [], waiting=waiting),
                ids=ids or [],
                details={"to": other},
            )
        )


@queue_app.command()
def drop(
    destination: Destination,
    ids: Ids = None,
    *,
    config: ConfigOption,
    waiting: Annotated[bool, typer.Option("--waiting", help="Objects that wait, not dead letters.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Remove dead letters for good."""
    from dimse_mesh.app.queue import decide
    from dimse_mesh.app.queue import drop as remove

    if not yes:
        what = "objects that wait" if waiting else "dead letters"
        typer.confirm(f"Remove {len(ids) if ids else 'all'} {what} for {destination} for good?", abort=True)
    with failures():
        raise SystemExit(
            decide(
                config,
                "queue drop",
                destination,
                lambda queues: remove(queues, destination, ids or [], waiting=waiting),
                ids=ids or [],
            )
        )


@queue_app.command()
def export(
    destination: Destination,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files go.", file_okay=False)],
    *,
    config: ConfigOption,
    failed: Annotated[bool, typer.Option("--failed", help="The dead letters.")] = False,
) -> None:
    """Write the objects that wait, or the dead letters, as DICOM files."""
    from dimse_mesh.app.queue import decide
    from dimse_mesh.app.queue import export as write

    with failures():
        folder.mkdir(parents=True, exist_ok=True)
        raise SystemExit(
            decide(
                config,
                "queue export",
                destination,
                lambda queues: write(queues, destination, folder, failed=failed),
                details={"to": str(folder.resolve())},
            )
        )


@queue_app.command()
def pause(
    destination: Destination,
    *,
    config: ConfigOption,
    reason: Annotated[str, typer.Option(help="For those who ask why.")] = "",
    minutes: Annotated[float | None, typer.Option(min=0, help="Then it goes on. None: until resume.")] = None,
) -> None:
    """Let nothing be delivered for now; clients are served on."""
    from dimse_mesh.app.queue import decide
    from dimse_mesh.app.queue_pause import pause as stop
    from dimse_mesh.app.queue_pause import pause_of

    with failures():
        wanted = pause_of(reason, minutes)
        raise SystemExit(
            decide(
                config,
                "queue pause",
                destination,
                lambda queues: stop(queues, destination, wanted),
                details={"reason": reason},
            )
        )


@queue_app.command()
def resume(destination: Destination, *, config: ConfigOption) -> None:
    """Let deliveries go on, and try at once what waits for its next attempt."""
    from dimse_mesh.app.queue import decide
    from dimse_mesh.app.queue_pause import resume as go_on

    with failures():
        raise SystemExit(
            decide(config, "queue resume", destination, lambda queues: go_on(queues, destination))
        )
