"""The wheel with nothing but requirements/runtime.lock: every service stands, is typed, and says what is missing."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.mesh import SERVICES, zone_config
from tests.support.permitted import permitted_server
from tests.support.process import Child

USER = """
from typing import assert_type

from dimse_mesh.nats_server.version import VERSION
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.schemas.service import ServiceName
from dimse_mesh.upper_layer import AssociateRQ

assert_type(ServiceName("scu"), ServiceName)
settings: ZoneSettings = 5
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment with the core alone."""

    python: Path

    @property
    def command(self) -> str:
        return str(self.python.with_name("dimse-mesh"))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the wheel as an image does."""
    directory = tmp_path_factory.mktemp("core")
    venv.create(directory / "venv", with_pip=False, symlinks=True)
    installed = Installed(directory / "venv/bin/python")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    isolated = ["--no-build-isolation", "--no-deps"]
    install = [*pip, "--python", str(installed.python), "install", *isolated]
    for command in (
        [*pip, "wheel", *isolated, "--wheel-dir", str(directory), "."],
        [*install, "--require-hashes", "--requirement", "requirements/runtime.lock"],
        [*install, "--no-index", "--find-links", str(directory), "dimse-mesh"],
    ):
        done = installed.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    return installed


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The `nats` section of a zone's file: where nats-server is, and the keys that it asks for."""
    with permitted_server(tmp_path_factory.mktemp("nats"), [zone_config("a")]) as (server, bus):
        yield bus.access("a", server.url)


@pytest.fixture
def zone(tmp_path: Path, nats: dict[str, Any]) -> Path:
    file = tmp_path / "zone.yaml"
    file.write_text(yaml.safe_dump(zone_config("a", more={"nats": nats})))
    return file


@pytest.mark.parametrize("service", SERVICES)
def test_service_stands_with_the_core_alone(
    core: Installed, zone: Path, tmp_path: Path, service: str
) -> None:
    with Child([core.command, "run", service, "--config", str(zone)], log=tmp_path / "log") as child:
        child.wait_for_line("^ready$")
        assert child.stop() == 0


def test_whole_zone_stands_with_the_core_alone(core: Installed, zone: Path, tmp_path: Path) -> None:
    with Child([core.command, "up", str(zone)], log=tmp_path / "log") as child:
        child.wait_for_line("^ready$")
        assert child.stop() == 0


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (["find", "PACS"], "pip install 'dimse-mesh[cli]'"),
        (["get", "PACS", "--output", "there"], "pip install 'dimse-mesh[cli]'"),
        (["move", "PACS", "--to", "THERE"], "pip install 'dimse-mesh[cli]'"),
        (["send", "PACS", "image.dcm"], "pip install 'dimse-mesh[cli]'"),
        (["demo"], "pip install 'dimse-mesh[cli]'"),
    ],
    ids=lambda part: part[0] if isinstance(part, list) else "",
)
def test_command_says_which_extra_is_missing(
    core: Installed, zone: Path, command: list[str], advice: str
) -> None:
    if command[0] in {"find", "get", "move", "send"}:
        command = [*command, "--config", str(zone)]
    done = core.run(core.command, *command)
    assert done.returncode == 1
    assert advice in done.stderr
    assert "Traceback" not in done.stderr


def test_up_says_where_an_embedded_nats_server_comes_from(
    core: Installed, zone: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = core.run("/usr/bin/env", f"PATH={empty}", core.command, "up", str(zone), "--nats-port", "0")
    assert done.returncode == 1
    assert "the extra `embedded`" in done.stderr


def test_another_project_sees_the_types(core: Installed, tmp_path: Path) -> None:
    file = tmp_path / "user.py"
    file.write_text(USER)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-incremental",
            "--python-executable",
            str(core.python),
            str(file),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.count("error:") == 1, done.stdout
    assert 'variable has type "ZoneSettings"' in done.stdout
