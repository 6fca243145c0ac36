"""The command line's own words: each mistake is a line on standard error and an exit code, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from dimse_mesh.app.zone_files import Zone, port_problems
from dimse_mesh.runtime.settings import load_settings
from tests.support.forking import COMMANDS, PROGRAM
from tests.support.ports import reserve_port

ZONE = "zone: hospital\n"
UNREACHABLE = (
    "zone: a\nnats: {{servers: ['nats://127.0.0.1:{port}']}}\nmesh: {{first_connect_timeout: 0.5}}\n"
)


def dimse_mesh(*arguments: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *map(str, arguments)]
    if COMMANDS.can_start(command, {}):
        return COMMANDS.run(command, timeout=timeout)
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def one_line(result: subprocess.CompletedProcess[str], code: int) -> str:
    """Return the only line on standard error; nothing may stand on standard output."""
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def test_version_is_the_package_s() -> None:
    assert dimse_mesh("--version").stdout == f"dimse-mesh {version('dimse-mesh')}\n"


def test_check_prints_the_complete_configuration(tmp_path: Path) -> None:
    result = dimse_mesh("check", write(tmp_path / "zone.yaml", ZONE))
    assert result.returncode == 0
    printed = yaml.safe_load(result.stdout)
    assert printed["zone"] == "hospital"
    assert printed["association"]["max_associations"] == 4096


@pytest.mark.parametrize("command", [["check"], ["up"], ["run", "scu", "--config"]])
def test_wrong_field_names_file_field_and_what_is_allowed(tmp_path: Path, command: list[str]) -> None:
    file = write(tmp_path / "zone.yaml", "zone: a\nassociation: {listeners: [{host: h, prot: 1}]}\n")
    result = dimse_mesh(*command, file)
    assert result.returncode == 2
    first, second = sorted(result.stderr.splitlines())
    assert first.startswith(f"{file}: association.listeners[0].port: required, but not given: TCP port")
    assert second.startswith(f"{file}: association.listeners[0].prot: unknown field; did you mean 'port'?")


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    line = one_line(dimse_mesh("check", tmp_path / "none.yaml"), 2)
    assert line == f"{tmp_path / 'none.yaml'}: can't be read: No such file or directory"


def test_up_reports_the_problems_of_all_files_at_once(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{name}.yaml", "zone: 'a b'\n") for name in ("one", "two")]
    result = dimse_mesh("up", *files)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 2


@pytest.mark.parametrize("service", ["association", "query-retrieve"])
def test_unreachable_nats_is_one_line(tmp_path: Path, service: str) -> None:
    port = reserve_port()
    file = write(tmp_path / "zone.yaml", UNREACHABLE.format(port=port))
    line = one_line(dimse_mesh("run", service, "--config", file), 1)
    assert f"nats://127.0.0.1:{port}" in line


def test_up_with_unreachable_nats_is_one_line(tmp_path: Path) -> None:
    port = reserve_port()
    file = write(tmp_path / "zone.yaml", UNREACHABLE.format(port=port))
    line = one_line(dimse_mesh("up", file), 1)
    assert f"nats://127.0.0.1:{port}" in line


def test_two_zones_of_one_name_are_refused(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{name}.yaml", ZONE) for name in ("one", "two")]
    line = one_line(dimse_mesh("up", *files), 2)
    assert line == f"{files[1]}: zone: 'hospital' is the zone of {files[0]} too"


def test_one_port_in_two_zones_is_refused(tmp_path: Path) -> None:
    files = [
        write(tmp_path / f"{name}.yaml", f"zone: {name}\nassociation: {{listeners: [{{port: 11112}}]}}\n")
        for name in ("one", "two")
    ]
    line = one_line(dimse_mesh("up", *files), 2)
    assert line == f"{files[1]}: association.listeners[0].port: 11112 is used in {files[0]} too"


@pytest.mark.parametrize(
    ("one", "two", "problem"),
    [
        ("{port: 11112}", "{port: 11110}", "observability.http.port, of 5 processes: 11112 is used in"),
        ("{port: 11112}", "{port: 65533}", "observability.http.port: 5 processes need one each, up to 65535"),
        ("{port: 11112}", "{port: 11117}", ""),
        ("{port: 11112}", "{port: 0}", ""),
    ],
)
def test_each_process_of_a_zone_needs_a_port_for_its_metrics(
    tmp_path: Path, one: str, two: str, problem: str
) -> None:
    zones = [
        Zone(file, load_settings(file))
        for name, http in (("one", one), ("two", two))
        for file in [write(tmp_path / f"{name}.yaml", f"zone: {name}\nobservability: {{http: {http}}}\n")]
    ]
    problems = list(port_problems(zones, [5, 5]))
    assert len(problems) == bool(problem)
    assert problem in "".join(problems)


def test_missing_nats_server_is_one_line(tmp_path: Path) -> None:
    # An interpreter without nats-server beside it, and a PATH without one.
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(Path(sys.executable).resolve())
    result = subprocess.run(
        [python, "-m", "dimse_mesh.app", "up", write(tmp_path / "zone.yaml", ZONE), "--nats-port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert "nats-server" in one_line(result, 1)


@pytest.mark.parametrize(
    "command",
    [
        ["echo", "PACS"],
        ["send", "PACS", "/dev/null"],
        ["find", "PACS"],
        ["move", "PACS", "--to", "HOME"],
        ["get", "PACS", "--output", "none"],
    ],
)
def test_commands_from_the_mesh_say_what_they_need(command: list[str]) -> None:
    assert one_line(dimse_mesh(*command), 2) == "give --config FILE, or --nats URL: where the mesh is"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            ["find", "PACS", "-k", "PatentID=1"],
            "-k PatentID=1: unknown keyword 'PatentID'; did you mean 'PatientID'?",
        ),
        (["find", "PACS", "--level", "patient"], "--level PATIENT: the study model has STUDY, SERIES, IMAGE"),
        (["find", "PACS", "--level", "study", "--model", "worklist"], "--level: a worklist has none"),
        (["move", "PACS", "--to", "HOME", "--model", "worklist"], "--model worklist: it has no levels"),
        (["move", "PACS", "--to", "HOME"], "-k: say what to retrieve, by a unique key"),
        (["get", "PACS", "--output", "none", "--sop-class", "X"], "--sop-class X: no storage SOP class"),
    ],
)
def test_query_that_cannot_be_asked_is_one_line(command: list[str], said: str) -> None:
    line = one_line(dimse_mesh(*command, "--nats", "nats://127.0.0.1:1"), 2)
    assert line.startswith(said)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["echo", "ABCDEFGHIJKLMNOPQ"], "AET 'ABCDEFGHIJKLMNOPQ': an AE title has at most 16 characters"),
        (["find", " "], "AET ' ': an AE title has 1 to 16 characters"),
        (
            ["send", "PACS", "none", "--calling", "RÖNTGEN"],
            "--calling 'RÖNTGEN': an AE title has printable ASCII",
        ),
        (["move", "PACS", "--to", "A\\B"], "--to 'A\\\\B': an AE title has printable ASCII"),
    ],
)
def test_what_can_be_no_ae_title_is_one_line(command: list[str], said: str) -> None:
    line = one_line(dimse_mesh(*command, "--nats", "nats://127.0.0.1:1"), 2)
    assert line.startswith(said)


def test_unknown_service_lists_the_five(tmp_path: Path) -> None:
    result = dimse_mesh("run", "stroe", "--config", write(tmp_path / "zone.yaml", ZONE))
    assert result.returncode == 2
    for name in ("association", "store", "query-retrieve", "n-service", "scu"):
        assert name in result.stderr


SECRET = "S3CR3T"


def test_check_shows_no_part_of_a_secret(tmp_path: Path) -> None:
    zone = f"""
zone: hospital
nats:
  servers: ["tls://user:p@{SECRET}/w?d@nats.example.org:4222", "tls://nats.example.org:4223/?token={SECRET}"]
scu:
  remote_aes:
    - ae_title: PLACE
      storage:
        url: s3://bucket/prefix
        s3:
          endpoint: "https://key:{SECRET}@s3.example.org/?x={SECRET}"
          access_key_id: a
          secret_access_key: {SECRET}
"""
    result = dimse_mesh("check", write(tmp_path / "zone.yaml", zone))
    assert result.returncode == 0, result.stderr
    assert SECRET not in result.stdout + result.stderr
    assert "nats.example.org" in result.stdout


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o640, True), (0o600, False)])
def test_check_warns_of_secrets_that_others_can_read(tmp_path: Path, mode: int, warned: bool) -> None:
    seed = write(tmp_path / "seed.nk", "SU")
    seed.chmod(mode)
    file = write(tmp_path / "zone.yaml", f"zone: hospital\nnats: {{nkey_seed: {seed}}}\n")
    result = dimse_mesh("check", file)
    assert result.returncode == 0
    line = f"{file}: {seed} holds a secret and can be read by others than its owner: chmod 600 {seed}\n"
    assert result.stderr == (line if warned else "")


def test_check_warns_of_a_readable_file_that_holds_a_password_itself(tmp_path: Path) -> None:
    file = write(tmp_path / "zone.yaml", "zone: hospital\nnats: {user: u, password: p}\n")
    file.chmod(0o644)
    assert f"{file} holds a secret" in dimse_mesh("check", file).stderr
    file.chmod(0o600)
    assert dimse_mesh("check", file).stderr == ""


@pytest.mark.parametrize(
    "url", ["nats://user:secret@127.0.0.1:1", "tls://token@nats.example.org", "tls://h:1?token=secret"]
)
def test_no_option_takes_a_password(tmp_path: Path, url: str) -> None:
    file = write(tmp_path / "zone.yaml", "zone: hospital\n")
    for command in (("echo", "PACS", "--nats", url), ("nats-config", file, "--hub", url)):
        said = one_line(dimse_mesh(*command), 2)
        assert "no user, password or token" in said
        assert "secret" not in said


def test_nats_without_tls_beyond_this_machine_is_refused() -> None:
    line = one_line(dimse_mesh("echo", "PACS", "--nats", "nats://192.0.2.1:4222"), 2)
    assert "not encrypted" in line


def test_a_name_that_the_terminal_cannot_show_ends_no_command() -> None:
    program = (
        "import sys, typer; from dimse_mesh.app import cli; from dimse_mesh.app.queue import show;"
        " cli.app.command('shown')(lambda: show('M\\u00dcLLER\\x1b[2J\\udcff')); sys.argv = ['dimse-mesh', 'shown'];"
        " cli.main()"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env=environment, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"M\\xdcLLER\\x1b[2J\\udcff\n"), done.stderr
