"""Compile the hot modules with mypyc into a copy of the sources (docs/adr/0026-hot-modules-stay-python.md).

    python -m tests.bench.compiled build/compiled
    python -m tests.bench.pairs small-1,ct-1,find pure=. compiled=build/compiled

It takes a C compiler, Python's headers and some minutes. Nothing that is shipped is made by it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MODULES = tuple(
    f"{package}.{module}"
    for package, modules in (
        ("schemas", "frames"),
        ("upper_layer", "framing state"),
        ("dimse", "command encoding head message status tags"),
        ("streams", "congestion inbound outbound probing"),
        ("mesh", "envelope nats_connection reader subscription turn"),
        ("policy", "configured decision subscribers"),
        ("runtime", "counters telemetry"),
        ("endpoint", "back_pressure carrier chunks connection courier deadlines faults half half_state"),
        (
            "endpoint",
            "handler_answers identity occupancy openings operation_limit operation_message operations",
        ),
        (
            "endpoint",
            "outcomes peer peer_side pending ports receiver remote_side segments sender socket_peer",
        ),
        ("endpoint", "summary time_shares timed_work timers tracing"),
        ("handling", "handler"),
        ("association", "live"),
    )
    for module in modules.split()
)
"""What runs for each PDU, frame and message, without what mypyc can't compile (async generators)."""
_BUILD = """
import sys
from mypyc.build import mypycify
from setuptools import Distribution
from setuptools.command.build_ext import build_ext

build = build_ext(Distribution({"ext_modules": mypycify(sys.argv[1:], opt_level="3", debug_level="0")}))
build.build_lib, build.build_temp = ".", "objects"
build.ensure_finalized()
build.run()
"""
_FUTURE = "from __future__ import annotations\n"


def compiled(destination: Path) -> None:
    """Put the sources into `destination`, the hot ones compiled beside them."""
    with tempfile.TemporaryDirectory(prefix="dimse-mesh-mypyc-") as made:
        copy = Path(made)
        for root in ("common", "schemas", "services"):
            shutil.copytree(
                f"{root}/dimse_mesh",
                copy / "dimse_mesh",
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("__pycache__"),
            )
        files = [f"dimse_mesh/{module.replace('.', '/')}.py" for module in MODULES]
        for file in files:
            _adapt(copy / file)
        configuration = copy / "mypy.ini"
        configuration.write_text(
            "[mypy]\nnamespace_packages = true\nexplicit_package_bases = true\nfollow_untyped_imports = true\n"
        )
        subprocess.run(
            [sys.executable, "-c", _BUILD, "--config-file=mypy.ini", *files],
            cwd=copy,
            check=True,
            env={**os.environ, "MYPYPATH": str(copy)},
        )
        destination.mkdir(parents=True)
        for path in (*copy.glob("*.so"), copy / "dimse_mesh"):
            shutil.move(path, destination)


def _adapt(file: Path) -> None:
    """Write what mypyc 2.4 asks for: a class constant as one, and annotations of dataclasses that it finds."""
    text = file.read_text()
    text = text.replace("    FAIR_SHARE = ", "    FAIR_SHARE: ClassVar[int] = ")
    file.write_text(
        text.replace(_FUTURE, f"{_FUTURE}\nfrom builtins import memoryview\nfrom typing import ClassVar\n", 1)
    )


def main() -> None:
    """Compile."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("destination", type=Path)
    compiled(parser.parse_args().destination)


if __name__ == "__main__":
    main()
