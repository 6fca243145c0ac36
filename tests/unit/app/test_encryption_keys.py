"""`dimse-mesh encryption-keys` and what `check` says of keys."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from dimse_mesh.app.cli import app

RUNNER = CliRunner()


@pytest.fixture
def zone_file(tmp_path: Path) -> Path:
    file = tmp_path / "hospital.yaml"
    file.write_text(yaml.safe_dump({"zone": "hospital", "encryption": {"keys": str(tmp_path / "keys")}}))
    return file


def keys(*arguments: str | Path) -> list[list[str]]:
    result = RUNNER.invoke(app, ["encryption-keys", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return [line.split("  ") for line in result.stdout.splitlines()]


def test_the_first_key_seals_and_the_next_one_when_it_is_told_to(zone_file: Path) -> None:
    ((first, what, public, file),) = keys(zone_file, "--new")
    assert what == "seals and opens"
    assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
    assert len(public) == 44
    second = keys(zone_file, "--new")
    assert [(line[0] == first, line[1].split(":")[0]) for line in second] == [
        (False, "next"),
        (True, "seals and opens"),
    ]
    third = keys(zone_file, "--use-next")
    assert [(line[0] == first, line[1]) for line in third] == [(False, "seals and opens"), (True, "opens")]


def test_nothing_private_is_printed(zone_file: Path, tmp_path: Path) -> None:
    printed = RUNNER.invoke(app, ["encryption-keys", str(zone_file), "--new"]).output
    (key,) = (tmp_path / "keys").iterdir()
    assert key.read_text().strip() not in printed
    assert key.read_text().strip() not in RUNNER.invoke(app, ["check", str(zone_file)]).output


def test_there_is_no_next_key_to_use(zone_file: Path) -> None:
    keys(zone_file, "--new")
    result = RUNNER.invoke(app, ["encryption-keys", str(zone_file), "--use-next"])
    assert result.exit_code == 1
    assert "--new" in result.stderr


def test_check_says_that_keys_are_missing_or_readable(zone_file: Path, tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["check", str(zone_file)])
    assert result.exit_code == 1
    assert "can't be read" in result.stderr
    keys(zone_file, "--new")
    assert RUNNER.invoke(app, ["check", str(zone_file)]).stderr == ""
    (tmp_path / "keys").chmod(0o755)
    assert "chmod 700" in RUNNER.invoke(app, ["check", str(zone_file)]).stderr


def test_a_zone_without_the_section_is_told_what_to_add(tmp_path: Path) -> None:
    file = tmp_path / "hospital.yaml"
    file.write_text("zone: hospital\n")
    result = RUNNER.invoke(app, ["encryption-keys", str(file)])
    assert result.exit_code == 2
    assert "encryption: {keys: FOLDER}" in result.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encryption": {"keys": "k", "zones": {"cloud": "short"}}}, "encryption.zones"),
        ({"encryption": {"keys": "k", "zones": {"cloud": []}}}, "has no public key"),
        ({"encryption": {"keys": "k", "zones": {"hospital": "A" * 43 + "="}}}, "is this zone"),
        ({"routes": [{"to": {"ae": "X"}, "encryption": "required"}]}, "needs the section encryption"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    file = tmp_path / "hospital.yaml"
    file.write_text(yaml.safe_dump({"zone": "hospital", **changes}))
    result = RUNNER.invoke(app, ["check", str(file)])
    assert result.exit_code == 2
    assert words in result.stderr
