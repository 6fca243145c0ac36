"""The operator's command line: run it, or print what it works with.

`dimse-mesh operator ...` is the same command.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dimse_mesh.operator.crd import custom_resource_definition
from dimse_mesh.operator.limits import DEFAULT_LIMITS, EditorLimits
from dimse_mesh.operator.names import Manifest
from dimse_mesh.operator.reference import reference
from dimse_mesh.operator.render import render, resources_in, to_yaml
from dimse_mesh.operator.resource import KIND
from dimse_mesh.operator.zone import InvalidResourceError

IMAGE_VARIABLE = "PROXY_IMAGE"
IDENTITY_VARIABLE = "POD_NAME"
DEFAULT_IMAGE = "dimse-mesh:latest"
LIMIT_VARIABLES = {
    "images": "ALLOWED_IMAGES",
    "secrets": "ALLOWED_SECRETS",
    "annotations": "ALLOWED_ANNOTATIONS",
    "volumes": "ALLOWED_VOLUMES",
}
"""The variables that say what a resource may choose: patterns, separated by commas."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the process's exit code."""
    options = _parser().parse_args(arguments)
    match options.command:
        case "crd":
            sys.stdout.write(to_yaml([custom_resource_definition()]))
        case "reference":
            sys.stdout.write(reference())
        case "render":
            return _render(options.files, options.image)
        case _:
            return _run(options)
    return 0


def _run(options: argparse.Namespace) -> int:
    from dimse_mesh.operator.credentials import CredentialsError, credentials
    from dimse_mesh.operator.running import Options, run
    from dimse_mesh.runtime.secrecy import keep_secrets

    keep_secrets(allow_debuggers=False)
    try:
        login = credentials()
    except CredentialsError as error:
        print(error, file=sys.stderr)
        return 1
    run(
        login,
        Options(
            image=options.image,
            namespaces=[name for text in options.namespace for name in text.split(",") if name],
            lease_namespace=options.lease_namespace,
            identity=options.identity,
            listen=options.listen,
            round_seconds=options.round,
            limits=EditorLimits(**{name: getattr(options, f"allow_{name}") for name in LIMIT_VARIABLES}),
        ),
    )
    return 0


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no host:port")
    return host.strip("[]"), int(port)


def _patterns(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _add_limits(run: argparse.ArgumentParser) -> None:
    """Add an option for each of the editors' limits."""
    for name, variable in LIMIT_VARIABLES.items():
        given = os.environ.get(variable)
        default: Sequence[str] = getattr(DEFAULT_LIMITS, name)
        run.add_argument(
            f"--allow-{name}",
            type=_patterns,
            default=default if given is None else _patterns(given),
            metavar="PATTERN,...",
            help=f"{name} that a resource may name (default: ${variable}, else {','.join(default)})",
        )


def _parser() -> argparse.ArgumentParser:
    image = os.environ.get(IMAGE_VARIABLE, DEFAULT_IMAGE)
    parser = argparse.ArgumentParser(
        prog="dimse-mesh operator", description="DimseProxy -> Kubernetes objects"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="watch DimseProxy resources and make them true")
    run.add_argument(
        "--namespace",
        action="append",
        default=[],
        help="watch only this one, with a Role instead of a ClusterRole; may be repeated, or a list with commas",
    )
    run.add_argument("--image", default=image, help=f"image of the services (default: ${IMAGE_VARIABLE})")
    run.add_argument(
        "--listen",
        type=_address,
        default=None,
        metavar="HOST:PORT",
        help="serve /livez, /readyz, /healthz and /metrics there",
    )
    run.add_argument(
        "--lease-namespace",
        default="",
        metavar="NAMESPACE",
        help="where the Lease of the leader is (default: the first --namespace, else the operator's own)",
    )
    run.add_argument(
        "--identity",
        default=os.environ.get(IDENTITY_VARIABLE, ""),
        help=f"of this process among operators (default: ${IDENTITY_VARIABLE}, else the host's name)",
    )
    run.add_argument(
        "--round",
        type=float,
        default=15.0,
        metavar="SECONDS",
        help="how often pods are asked for their health and associations (default: 15)",
    )
    _add_limits(run)
    rendering = commands.add_parser("render", help="print the objects of the resources in these files")
    rendering.add_argument("files", nargs="+", type=Path, metavar="FILE")
    rendering.add_argument("--image", default=image, help="image of the services")
    commands.add_parser("crd", help="print the CustomResourceDefinition")
    commands.add_parser("reference", help="print the field reference (Markdown)")
    return parser


def _render(files: Sequence[Path], image: str) -> int:
    objects: list[Manifest] = []
    for path in files:
        try:
            found = [render(resource, default_image=image) for resource in resources_in(path)]
        except InvalidResourceError as error:
            for problem in error.problems:
                print(f"{path}: {problem}", file=sys.stderr)
            return 1
        if not found:
            print(f"{path}: there is no {KIND} in it", file=sys.stderr)
            return 1
        objects += (item for items in found for item in items)
    sys.stdout.write(to_yaml(objects))
    return 0


if __name__ == "__main__":
    sys.exit(main())
