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
from dimse_mesh.operator.names import Manifest
from dimse_mesh.operator.reference import reference
from dimse_mesh.operator.render import render, resources_in, to_yaml
from dimse_mesh.operator.zone import InvalidResourceError

IMAGE_VARIABLE = "PROXY_IMAGE"
DEFAULT_IMAGE = "dimse-mesh:latest"


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
            from dimse_mesh.operator.controller import run

            run(image=options.image, namespaces=options.namespace, liveness=options.liveness)
    return 0


def _parser() -> argparse.ArgumentParser:
    image = os.environ.get(IMAGE_VARIABLE, DEFAULT_IMAGE)
    parser = argparse.ArgumentParser(
        prog="dimse-mesh operator", description="DimseProxy -> Kubernetes objects"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="watch DimseProxy resources and make them true")
    run.add_argument("--namespace", action="append", default=[], help="watch only this one; may be repeated")
    run.add_argument("--image", default=image, help=f"image of the services (default: ${IMAGE_VARIABLE})")
    run.add_argument(
        "--liveness", default=None, metavar="URL", help="serve liveness, as http://0.0.0.0:8080/healthz"
    )
    rendering = commands.add_parser("render", help="print the objects of the resources in these files")
    rendering.add_argument("files", nargs="+", type=Path, metavar="FILE")
    rendering.add_argument("--image", default=image, help="image of the services")
    commands.add_parser("crd", help="print the CustomResourceDefinition")
    commands.add_parser("reference", help="print the field reference (Markdown)")
    return parser


def _render(files: Sequence[Path], image: str) -> int:
    objects: list[Manifest] = []
    for path in files:
        for resource in resources_in(path):
            try:
                objects += render(resource, default_image=image)
            except InvalidResourceError as error:
                for problem in error.problems:
                    print(f"{path}: {problem}", file=sys.stderr)
                return 1
    sys.stdout.write(to_yaml(objects))
    return 0


if __name__ == "__main__":
    sys.exit(main())
