"""`dimse-mesh cohort`: select studies, look at them, pull them, say what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dimse_mesh.app.failures import failures
from dimse_mesh.app.options import CallingOption, NatsOption, RootOption, ZoneOption

cohort_app = typer.Typer(
    help="A cohort of studies: find, look, pull, report.", no_args_is_help=True, rich_markup_mode=None
)

ListFile = Annotated[
    Path, typer.Argument(metavar="LIST", help="The list that `cohort find` wrote.", dir_okay=False)
]


@cohort_app.command()
def find(
    query: Annotated[Path, typer.Argument(metavar="QUERY", help="YAML or CSV file.", dir_okay=False)],
    *,
    output: Annotated[Path, typer.Option(metavar="LIST", help="CSV file to write.", dir_okay=False)],
    pacs: Annotated[
        list[str] | None, typer.Option(metavar="AET", help="Ask it instead of the file's.")
    ] = None,
    config: ZoneOption = None,
    nats: NatsOption = None,
    subject_root: RootOption = "DIMSE",
    calling: CallingOption = "DIMSE-MESH",
) -> None:
    """Write the list of the studies that a query file asks for (C-FIND). Exit code 1: perhaps not all of them."""
    from dimse_mesh.app.cohort import find_cohort
    from dimse_mesh.app.way_in import WayIn

    with failures():
        raise SystemExit(
            find_cohort(WayIn.of(config, nats, subject_root, calling), query, output, pacs or ())
        )


@cohort_app.command()
def pull(
    listed: ListFile,
    *,
    to: Annotated[
        str | None, typer.Option("--to", metavar="AET", help="Have them sent to this AE (C-MOVE).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write them here (C-GET).", file_okay=False)
    ] = None,
    sop_class: Annotated[
        list[str] | None, typer.Option(help="With --output: expect only these, by UID or keyword (CT).")
    ] = None,
    attempts: Annotated[int, typer.Option(min=1, max=1000, help="For each study in this run.")] = 3,
    wait: Annotated[
        float, typer.Option(min=0, max=3600, help="Seconds before another attempt; they double.")
    ] = 5.0,
    wait_for_hours: Annotated[
        bool,
        typer.Option("--wait-for-hours/--no-wait-for-hours", help="Wait for the hours that a PACS allows."),
    ] = True,
    config: ZoneOption = None,
    nats: NatsOption = None,
    subject_root: RootOption = "DIMSE",
    calling: CallingOption = "DIMSE-MESH",
) -> None:
    """Pull the studies of a list; again after a kill or for what is new. Exit code 1: some are not complete."""
    from dimse_mesh.app.audited import audited
    from dimse_mesh.app.cohort import pull_cohort
    from dimse_mesh.app.way_in import WayIn
    from dimse_mesh.audit.codes import AuditedKind

    with failures():
        named = {} if to is None else {"--to": to}
        way = WayIn.of(config, nats, subject_root, calling, named=named)
        raise SystemExit(
            audited(
                way.settings,
                "cohort pull",
                AuditedKind.COHORT,
                str(listed),
                lambda: pull_cohort(
                    way,
                    listed,
                    destination=to,
                    folder=output,
                    sop_classes=sop_class or (),
                    attempts=attempts,
                    wait=wait,
                    wait_for_hours=wait_for_hours,
                ),
                details={"to": to or str(output)},
            )
        )


@cohort_app.command()
def show(listed: ListFile) -> None:
    """Print a list, and what has become of its studies."""
    from dimse_mesh.app.cohort import show_cohort

    with failures():
        raise SystemExit(show_cohort(listed))


@cohort_app.command()
def report(
    listed: ListFile,
    *,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write it there.", dir_okay=False)
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write it there.", dir_okay=False)
    ] = None,
) -> None:
    """Say what of a list has come, what is missing and why. Exit code 1: something is."""
    from dimse_mesh.app.cohort import report_cohort

    with failures():
        raise SystemExit(report_cohort(listed, csv_file, json_file))
