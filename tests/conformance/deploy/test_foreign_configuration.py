"""Configuration of others' programs that we ship, checked by those programs themselves."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.nats import nats_server_binary

NATS = [Path("deploy/compose/nats.conf"), Path("deploy/local/nats.conf"), Path("k8s/nats/nats.conf")]


@pytest.mark.parametrize("path", NATS, ids=str)
def test_nats_server_accepts_its_configuration(path: Path) -> None:
    run = subprocess.run(
        [nats_server_binary(), "-t", "-c", str(path)], capture_output=True, text=True, check=False, timeout=30
    )
    assert run.returncode == 0, run.stderr


def test_prometheus_scrapes_every_service_that_compose_runs() -> None:
    composed = yaml.safe_load(Path("compose.yaml").read_text())["services"]
    ours = {name for name, service in composed.items() if service.get("command", [""])[0] == "run"}
    jobs = yaml.safe_load(Path("deploy/compose/prometheus.yml").read_text())["scrape_configs"]
    targets = {target.partition(":")[0] for one in jobs[0]["static_configs"] for target in one["targets"]}
    assert targets == ours


def test_demo_targets_are_configured_alike() -> None:
    texts = [Path("deploy/compose/orthanc.json").read_text(), Path("k8s/demo/orthanc.json").read_text()]
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["DicomPort"] == 4242
