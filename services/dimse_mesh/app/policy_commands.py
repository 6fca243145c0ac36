"""`dimse-mesh policy`: a zone's policy on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dimse_mesh.app.failures import failures

policy_app = typer.Typer(no_args_is_help=True, help="What a zone's policy permits.")


@policy_app.command()
def explain(
    file: Annotated[Path, typer.Option("--config", help="The zone's YAML file.", dir_okay=False)],
    *,
    peer: Annotated[str, typer.Option("--from", metavar="IP", help="The peer's address.")],
    calling: Annotated[str, typer.Option(help="Its calling AE title.")],
    called: Annotated[str, typer.Option(help="The AE title that it calls.")],
    service: Annotated[
        str | None, typer.Option(help="DIMSE service, for example C-FIND; none: the association alone.")
    ] = None,
    from_target: Annotated[
        bool, typer.Option("--from-target", help="The target asks, on the client's association.")
    ] = False,
    listener: Annotated[
        int | None, typer.Option(metavar="PORT", help="The listener; none: the first one.")
    ] = None,
    subject: Annotated[
        str,
        typer.Option(
            help="Subject of its TLS certificate, in the certificate's order: O=...,CN=... as a rule."
        ),
    ] = "",
    issuer: Annotated[str, typer.Option(help="Issuer of that certificate, in the same way.")] = "",
    san: Annotated[list[str] | None, typer.Option(help="A subject alternative name of it.")] = None,
    user: Annotated[str, typer.Option(help="User name of its User Identity item.")] = "",
    from_zone: Annotated[
        str,
        typer.Option(
            metavar="ZONE", help="Another zone's client asks: what this zone's executor would answer."
        ),
    ] = "",
) -> None:
    """Say what the zone's policy would answer, and which line decides. Exit code 1: refused."""
    from dimse_mesh.app.policy_explain import Case, dimse_service, peer_address
    from dimse_mesh.app.policy_explain import explain as explain_case
    from dimse_mesh.policy import PeerCertificate

    with failures():
        shown = PeerCertificate(subject, issuer, tuple(san or ())) if subject or issuer or san else None
        case = Case(
            peer=peer_address(peer),
            calling=calling.strip(" "),  # padding isn't significant (PS3.5 §6.2)
            called=called.strip(" "),
            service=None if service is None else dimse_service(service),
            from_target=from_target,
            port=listener,
            certificate=shown,
            user=user,
            from_zone=from_zone,
        )
        raise SystemExit(explain_case(file, case))
