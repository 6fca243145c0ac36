"""The install guides: links lead somewhere, examples are valid, units verify."""

from __future__ import annotations

import re
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from dimse_mesh.operator.zone import parse_spec
from dimse_mesh.runtime.settings import ZoneSettings
from tests.support.process import require_tool

GUIDES = sorted(Path("docs/deploy").glob("*.md"))
UNITS = sorted(Path("deploy/systemd").glob("*.service"))


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_files_of_the_repository_that_are_named_exist(path: Path) -> None:
    text = re.sub(r"https?://\S+", "", path.read_text())
    for name in re.findall(r"\b((?:deploy|k8s|tests)/[\w./@-]+)", text):
        assert Path(name.rstrip(".")).exists(), name


def examples() -> list[tuple[str, dict[str, Any]]]:
    fence = re.compile(r"^ *```yaml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
    return [
        (path.name, yaml.safe_load(textwrap.dedent(block)))
        for path in GUIDES
        for block in fence.findall(path.read_text())
    ]


@pytest.mark.parametrize(("name", "document"), examples())
def test_example_is_valid(name: str, document: dict[str, Any]) -> None:
    assert name
    if document.get("kind") == "DimseProxy":
        parse_spec(document["spec"])
    else:
        ZoneSettings.model_validate(document)


def verifiable(path: Path, directory: Path) -> Path:
    """Return a copy of a template unit as an instance whose program exists here."""
    copy = directory / path.name.replace("@", "@scu")
    copy.write_text(path.read_text().replace("/usr/local/bin/dimse-mesh", "/bin/true"))
    return copy


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_unit_is_valid_and_confined(path: Path, tmp_path: Path) -> None:
    analyze = require_tool("systemd-analyze")
    unit = str(verifiable(path, tmp_path))
    for command in (["verify", "--man=no", unit], ["security", "--offline=true", "--threshold=20", unit]):
        run = subprocess.run([analyze, *command], capture_output=True, text=True, check=False, timeout=60)
        assert run.returncode == 0, run.stdout + run.stderr


def test_units_give_more_time_than_the_drain_takes() -> None:
    for path in UNITS:
        (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", path.read_text(), re.MULTILINE)
        settings = ZoneSettings(zone="a")
        assert int(seconds) > settings.association.drain_timeout + settings.nats.drain_timeout
