"""`dimse-mesh nats-config`: what it prints, what it writes, and that nats-server takes it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.mesh import Ae, zone_config
from tests.support.nats import nats_server_binary
from tests.unit.app.test_cli import dimse_mesh

SEED = re.compile(r"\bSU[A-Z2-7]{56}\b")


@pytest.fixture
def zones(tmp_path: Path) -> list[Path]:
    configs = [
        zone_config("hospital", listener=11112),
        zone_config("cloud", remote_aes=[{"ae_title": "PA CS", "host": "h", "port": 104, "default": True}]),
    ]
    files = [tmp_path / f"{config['zone']}.yaml" for config in configs]
    for file, config in zip(files, configs, strict=True):
        file.write_text(yaml.safe_dump(config))
    return files


def test_without_a_folder_it_prints_a_preview_and_makes_no_key(zones: list[Path], tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = dimse_mesh("nats-config", *zones)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("# Nothing was written, and no keys were made")
    for name in ("hub.conf", "hub-accounts.conf", "leaf-hospital.conf", "leaf-cloud-accounts.conf"):
        assert f"# ---- {name}\n" in result.stdout
    assert "<key of cloud/scu>" in result.stdout
    assert result.stdout.count("compression: s2_fast") == 3, (
        "the hub's, and each leaf's: both ends of every link"
    )
    assert '"DIMSE.ae.PA%20CS.open.*.*.* scu"' in result.stdout
    assert not SEED.search(result.stdout)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_it_writes_is_what_nats_server_takes(zones: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "nats"
    result = dimse_mesh("nats-config", *zones, "--output", output)
    assert result.returncode == 0, result.stderr
    for name in ("hub", "leaf-hospital", "leaf-cloud"):
        checked = subprocess.run(
            [nats_server_binary(), "-t", "-c", output / f"{name}.conf"],
            check=False,
            capture_output=True,
            text=True,
        )
        assert checked.returncode == 0, checked.stderr


def test_seeds_are_readable_by_their_owner_alone_and_stand_nowhere_else(
    zones: list[Path], tmp_path: Path
) -> None:
    output = tmp_path / "nats"
    result = dimse_mesh("nats-config", *zones, "--output", output)
    assert not SEED.search(result.stdout + result.stderr)
    for path in (path for path in output.rglob("*") if path.is_file()):
        secret = path.is_relative_to(output / "keys")
        assert bool(SEED.search(path.read_text())) == secret, path
        if secret:
            assert path.stat().st_mode & 0o777 == 0o600
            assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_second_run_keeps_keys_and_what_is_edited_and_renews_the_rest(
    zones: list[Path], tmp_path: Path
) -> None:
    output = tmp_path / "nats"
    dimse_mesh("nats-config", *zones, "--output", output)
    edited, keys = output / "hub.conf", output / "keys"
    edited.write_text("# ours\n")
    before = {path: path.read_text() for path in keys.rglob("*") if path.is_file()}
    accounts = (output / "hub-accounts.conf").read_text()
    third = tmp_path / "third.yaml"
    third.write_text(yaml.safe_dump(zone_config("third", remote_aes=[Ae("AI", 1, "third")])))
    result = dimse_mesh("nats-config", *zones, third, "--output", output)
    assert result.returncode == 0, result.stderr
    assert f"{edited}: kept as it is" in result.stdout
    assert edited.read_text() == "# ours\n"
    after = {path: path.read_text() for path in keys.rglob("*") if path.is_file()}
    assert before.items() <= after.items()
    assert (output / "hub-accounts.conf").read_text() != accounts
    assert (keys / "third" / "scu.nk").exists()


def durable(zones: list[Path], *, domain: str | None, heard: list[str | None]) -> None:
    """Let the hospital keep what is for the cloud."""
    hospital, cloud = (yaml.safe_load(file.read_text()) for file in zones)
    hospital |= {"routes": [{"to": {"ae": "PA CS"}, "delivery": "durable"}], "spool": {"domain": domain}}
    cloud["delivery"] = {"domains": heard}
    for file, config in zip(zones, (hospital, cloud), strict=True):
        file.write_text(yaml.safe_dump(config))


def test_a_zone_that_keeps_objects_gets_jetstream_at_its_own_server(
    zones: list[Path], tmp_path: Path
) -> None:
    durable(zones, domain="ward", heard=["ward"])
    output = tmp_path / "nats"
    result = dimse_mesh("nats-config", *zones, "--output", output)
    assert result.returncode == 0, result.stderr
    assert 'domain: "ward"' in (output / "leaf-hospital.conf").read_text()
    assert "jetstream" not in (output / "leaf-cloud.conf").read_text()
    for name in ("hub", "leaf-hospital", "leaf-cloud"):
        checked = subprocess.run(
            [nats_server_binary(), "-t", "-c", output / f"{name}.conf"],
            check=False,
            capture_output=True,
            text=True,
        )
        assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("domain", "heard", "what"),
    [
        (None, [None], "hospital.yaml: spool.domain: name the JetStream domain"),
        ("ward", [None, "other"], "cloud.yaml: delivery.domains: 'ward' is missing"),
    ],
)
def test_a_delivery_that_would_reach_nothing_is_refused(
    zones: list[Path], domain: str | None, heard: list[str | None], what: str
) -> None:
    durable(zones, domain=domain, heard=heard)
    result = dimse_mesh("nats-config", *zones)
    assert result.returncode == 2
    assert what in result.stderr


def test_two_files_of_one_zone_are_refused(zones: list[Path]) -> None:
    result = dimse_mesh("nats-config", zones[0], zones[0])
    assert result.returncode == 2
    assert "is the zone of" in result.stderr


def test_a_folder_that_can_not_be_written_is_one_line(zones: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = dimse_mesh("nats-config", *zones, "--output", tmp_path / "file" / "below")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "file/below" in result.stderr
