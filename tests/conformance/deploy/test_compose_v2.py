"""The Compose files, read by the loader that Compose v2 itself uses."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.gotool import go_program

BUILD = Path("tests/conformance/deploy/compose_v2/build.sh")
FILE, MORE = "compose.yaml", "compose.observed.yaml"


def load(*files: str | Path) -> dict[str, Any]:
    """Return what files come to, merged and with defaults for variables.

    Raises:
        ValueError: they are not valid; the text is the loader's.
    """
    command = [go_program(BUILD), *map(str, files)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if run.returncode:
        raise ValueError(run.stderr)
    document: dict[str, Any] = yaml.safe_load(run.stdout)
    return document


@pytest.mark.parametrize("files", [(FILE,), (FILE, MORE)], ids=len)
def test_files_are_valid_for_version_2(files: tuple[str, ...]) -> None:
    services = load(*files)["services"]
    assert services.keys() >= yaml.safe_load(Path(files[-1]).read_text())["services"].keys()
    for name, service in services.items():
        assert "$" not in service["image"], name
        for port in service.get("ports", ()):
            assert port["host_ip"] == "127.0.0.1", name


def test_second_file_adds_to_services_and_takes_nothing_away() -> None:
    before, after = load(FILE)["services"], load(FILE, MORE)["services"]
    for name, service in before.items():
        changed = {key for key in after[name] if after[name][key] != service.get(key)}
        assert changed <= ({"command"} if name == "prometheus" else {"environment"}), name
        if service["command"][0] == "run":
            assert after[name]["environment"] == {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
    assert set(before["prometheus"]["command"]) < set(after["prometheus"]["command"])


def test_loader_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("services: {a: {image: x, no_such_setting: 1}}\n")
    with pytest.raises(ValueError, match="no_such_setting"):
        load(file)
