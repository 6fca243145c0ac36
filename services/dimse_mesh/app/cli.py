"""`dimse-mesh`: the command line. Each command imports what it needs when it runs."""

from __future__ import annotations

import io
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dimse_mesh.app.audit_commands import audit_app
from dimse_mesh.app.cohort_commands import cohort_app
from dimse_mesh.app.extras import advice
from dimse_mesh.app.failures import FAILED, failures, leave
from dimse_mesh.app.options import (
    CallingOption,
    ConfigOption,
    KeysOption,
    LevelOption,
    ModelOption,
    NatsOption,
    RootOption,
    ZoneOption,
)
from dimse_mesh.app.policy_commands import policy_app
from dimse_mesh.app.priors_commands import priors_app
from dimse_mesh.app.query_models import ModelName
from dimse_mesh.app.queue_commands import queue_app
from dimse_mesh.runtime.ready import say_ready

app = typer.Typer(
    name="dimse-mesh",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(queue_app, name="queue")
app.add_typer(cohort_app, name="cohort")
app.add_typer(audit_app, name="audit")
app.add_typer(policy_app, name="policy")
app.add_typer(priors_app, name="priors")


def _tell_version(*, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"dimse-mesh {version('dimse-mesh')}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version and exit."),
    ] = False,
) -> None:
    """A DICOM DIMSE proxy raised onto NATS."""


class ServiceChoice(StrEnum):
    """The services, as the command line spells them."""

    ASSOCIATION = "association"
    STORE = "store"
    QUERY_RETRIEVE = "query-retrieve"
    N_SERVICE = "n-service"
    SCU = "scu"
    DELIVERY = "delivery"


@app.command()
def up(
    files: Annotated[list[Path], typer.Argument(help="YAML files, one for each zone.", dir_okay=False)],
    nats_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Start a nats-server there, use it instead of nats.servers. 0: any free port.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Where that nats-server keeps JetStream's data. Without it: FILE.jetstream beside the file of the "
            "first zone with durable routes; no JetStream if there is none."
        ),
    ] = None,
) -> None:
    """Run every service of these zones; print `ready` when all are ready. Ctrl-C drains."""
    from dimse_mesh.app.up import supervise

    with failures():
        supervise(files, nats_port=nats_port, data_dir=data_dir, announce=say_ready)


@app.command()
def run(
    service: Annotated[ServiceChoice, typer.Argument(help="Which one.")],
    config: ConfigOption,
) -> None:
    """Run one service; print `ready` when it is ready. SIGTERM drains."""
    from dimse_mesh.app.run import run_one

    with failures():
        raise SystemExit(run_one(service.value, config))


@app.command()
def check(file: Annotated[Path, typer.Argument(help="A zone's YAML file.", dir_okay=False)]) -> None:
    """Validate a configuration and print it, complete with defaults and without secrets.

    Files of secrets that others can read, AE titles that are rewritten and can't be translated back for certain, and
    routes and rules that are never reached are named on standard error.
    """
    from dimse_mesh.app.checked_hooks import check_hooks
    from dimse_mesh.app.never_reached import never_reached
    from dimse_mesh.app.untranslatable import untranslatable
    from dimse_mesh.runtime.encryption import association_encryption
    from dimse_mesh.runtime.secrecy import secrets_others_can_read
    from dimse_mesh.runtime.settings import dump_complete, load_settings

    with failures():
        settings = load_settings(file)
        check_hooks(settings, file)
        association_encryption(settings)
        sys.stdout.write(dump_complete(settings))
        for line in secrets_others_can_read(settings, file):
            print(f"{file}: {line}", file=sys.stderr)
        for line in (*untranslatable(settings), *never_reached(settings)):
            print(f"{file}: {line}", file=sys.stderr)


@app.command(name="nats-config")
def nats_config(
    files: Annotated[list[Path], typer.Argument(help="YAML files, one for each zone.", dir_okay=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            help="Write the files there, with keys. Keys that are there stay. None: print, without keys.",
        ),
    ] = None,
    hub: Annotated[
        str, typer.Option(metavar="URL", help="Where the zones' own nats-servers find the hub.")
    ] = "tls://nats.example.org:7422",
) -> None:
    """Print nats-server's accounts, users and permissions for these zones: a hub, and a leaf for each zone."""
    from dimse_mesh.app.nats_config import print_config, write_config
    from dimse_mesh.app.secrets_in_arguments import refuse_secrets_in

    with failures():
        refuse_secrets_in(hub, "--hub")
        if output is None:
            sys.stdout.write(print_config(files, hub))
        else:
            sys.stdout.write(write_config(files, hub, output))


@app.command(name="encryption-keys")
def encryption_keys(
    file: Annotated[Path, typer.Argument(help="A zone's YAML file.", dir_okay=False)],
    *,
    new: Annotated[
        bool, typer.Option("--new", help="Make a key in encryption.keys: the first one seals at once.")
    ] = False,
    use_next: Annotated[
        bool, typer.Option("--use-next", help="Seal with the key that was made last: other zones know it.")
    ] = False,
) -> None:
    """List a zone's keys of the end-to-end encryption: id, what each does, public key, file."""
    from dimse_mesh.app.encryption_keys import list_keys

    with failures():
        sys.stdout.write(list_keys(file, new=new, use_next=use_next))


@app.command()
def demo(
    stay: Annotated[
        bool, typer.Option("--stay", help="Leave the two zones and the archive running.")
    ] = False,
) -> None:
    """Two zones, an archive, real DICOM through the mesh; compares bytes and prints a table."""
    from dimse_mesh.app.demo import run_demo

    with failures():
        raise SystemExit(run_demo(stay=stay))


@app.command()
def echo(
    ae_title: Annotated[str, typer.Argument(metavar="AET", help="The AE to reach.")],
    *,
    config: ZoneOption = None,
    nats: NatsOption = None,
    subject_root: RootOption = "DIMSE",
    calling: CallingOption = "DIMSE-MESH",
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many C-ECHOs.")] = 1,
) -> None:
    """Verify an AE (C-ECHO) from the mesh itself, without a DICOM listener."""
    from dimse_mesh.app.echo import echo as echo_ae
    from dimse_mesh.app.way_in import WayIn

    with failures():
        way = WayIn.of(config, nats, subject_root, calling, named={"AET": ae_title})
        raise SystemExit(echo_ae(way, ae_title, count=count))


@app.command()
def send(
    ae_title: Annotated[str, typer.Argument(metavar="AET", help="The AE to store to.")],
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="DICOM files, or folders of them.")],
    *,
    config: ZoneOption = None,
    nats: NatsOption = None,
    subject_root: RootOption = "DIMSE",
    calling: CallingOption = "DIMSE-MESH",
) -> None:
    """Store files (C-STORE) from the mesh itself, with a progress bar."""
    from dimse_mesh.app.audited import audited
    from dimse_mesh.app.send import send as send_paths
    from dimse_mesh.app.way_in import WayIn
    from dimse_mesh.audit.codes import AuditedKind

    with failures():
        way = WayIn.of(config, nats, subject_root, calling, named={"AET": ae_title})
        raise SystemExit(
            audited(
                way.settings, "send", AuditedKind.NODE, ae_title, lambda: send_paths(way, ae_title, paths)
            )
        )


@app.command()
def find(
    ae_title: Annotated[str, typer.Argument(metavar="AET", help="The AE to ask.")],
    *,
    keys: KeysOption = None,
    level: LevelOption = None,
    model: ModelOption = ModelName.STUDY,
    limit: Annotated[int, typer.Option("--max", min=0, help="Stop after so many matches. 0: all.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="DICOM JSON, one match a line.")] = False,
    config: ZoneOption = None,
    nats: NatsOption = None,
    subject_root: RootOption = "DIMSE",
    calling: CallingOption = "DIMSE-MESH",
) -> None:
    """Query (C-FIND) from the mesh itself; prints a table. Ctrl-C cancels."""
    from dimse_mesh.app.audited import audited
    from dimse_mesh.app.find import find as find_in
    from dimse_mesh.app.way_in import WayIn
    from dimse_mesh.audit.codes import AuditedKind

    with failures():
        way = WayIn.of(config, nats, subject_root, calling, named={"AET": ae_title})
        raise SystemExit(
            audited(
                way.settings,
                "find",
                AuditedKind.NODE,
                ae_title,
                lambda: find_in(
                    way, ae_title, keys or [], level=level, model=model, limit=limit, as_json=as_json
                ),
            )
        )


@app.command()
def move(
    ae_title: Annotated[str, typer.Argument(metavar="AET", help="The AE to retrieve from.")],
    *,
    to: Annotated[str, typer.Option("--to", metavar="DEST", help="The AE title that it shall send to.")],
    keys: KeysOption = None,
    level: LevelOption = None,
    model: ModelOption = ModelName.STUDY,
    config: ZoneOption = None,
    nats: NatsOption = None,
    subject_root: RootOption = "DIMSE",
    calling: CallingOption = "DIMSE-MESH",
) -> None:
    """Have an AE send objects to another (C-MOVE), with a progress bar. Ctrl-C cancels."""
    from dimse_mesh.app.audited import audited
    from dimse_mesh.app.retrieve import Retrieval
    from dimse_mesh.app.retrieve import move as move_to
    from dimse_mesh.app.way_in import WayIn
    from dimse_mesh.audit.codes import AuditedKind

    with failures():
        way = WayIn.of(config, nats, subject_root, calling, named={"AET": ae_title, "--to": to})
        retrieval = Retrieval(ae_title, keys or [], level, model)
        raise SystemExit(
            audited(
                way.settings,
                "move",
                AuditedKind.NODE,
                ae_title,
                lambda: move_to(way, retrieval, to),
                details={"to": to},
            )
        )


@app.command()
def get(
    ae_title: Annotated[str, typer.Argument(metavar="AET", help="The AE to retrieve from.")],
    *,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the files go.", file_okay=False)],
    keys: KeysOption = None,
    level: LevelOption = None,
    model: ModelOption = ModelName.STUDY,
    sop_class: Annotated[
        list[str] | None,
        typer.Option(help="Expect only these, by UID or keyword (CT), in any transfer syntax."),
    ] = None,
    max_files: Annotated[int, typer.Option(min=0, help="Refuse more objects. 0: no limit.")] = 100_000,
    max_bytes: Annotated[
        int, typer.Option(min=0, help="Refuse what goes beyond so many bytes. 0: no limit.")
    ] = 100 << 30,
    config: ZoneOption = None,
    nats: NatsOption = None,
    subject_root: RootOption = "DIMSE",
    calling: CallingOption = "DIMSE-MESH",
) -> None:
    """Retrieve objects into files (C-GET), with a progress bar. Ctrl-C cancels."""
    from dimse_mesh.app.audited import audited
    from dimse_mesh.app.received_files import Room
    from dimse_mesh.app.retrieve import Retrieval
    from dimse_mesh.app.retrieve import get as get_into
    from dimse_mesh.app.way_in import WayIn
    from dimse_mesh.audit.codes import AuditedKind

    with failures():
        way = WayIn.of(config, nats, subject_root, calling, named={"AET": ae_title})
        raise SystemExit(
            audited(
                way.settings,
                "get",
                AuditedKind.NODE,
                ae_title,
                lambda: get_into(
                    way,
                    Retrieval(ae_title, keys or [], level, model),
                    output,
                    sop_class or [],
                    Room(max_files, max_bytes),
                ),
                details={"to": str(output.resolve())},
            )
        )


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def operator(context: typer.Context) -> None:
    """Kubernetes: run the operator, or print CRD, rendered objects, field reference (operator --help)."""
    from dimse_mesh.operator.__main__ import main as operator_main

    with failures():
        raise SystemExit(operator_main(context.args))


def main() -> None:
    """Run the command line. If a library is missing, a line on standard error names the extra to install."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # no name that a terminal can't show ends a command
    try:
        app()
    except ModuleNotFoundError as missing:
        why = advice(missing)
        if why is None:
            raise
        leave([why], FAILED)
