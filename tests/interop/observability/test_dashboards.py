"""Dashboards and alerts against the real Prometheus, scraping a real mesh under traffic of every kind."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from tests.interop.observability.observed import DEAD, Observed
from tests.interop.observability.traffic import a_bit_of_everything
from tests.support.process import require_tool, wait_until
from tests.support.prometheus import Prometheus, prometheus

DASHBOARDS = Path("k8s/dashboards")
FILES = sorted(DASHBOARDS.glob("*.json"))
MEASURED = [file for file in FILES if file.stem != "traces"]
"""Those that show what the processes measure; test_jaeger.py asks what the other one shows."""
LIVE = [file for file in MEASURED if file.stem != "durable"]
"""Those of live routes; tests/durable/test_dashboard.py asks what the other one shows."""
RANGE = "15s"
"""What stands for Grafana's $__rate_interval where the scrape interval is a second."""


def panels(file: Path) -> list[dict[str, Any]]:
    """Return the panels of a dashboard."""
    return cast("list[dict[str, Any]]", json.loads(file.read_text())["panels"])


def expressions(files: Sequence[Path]) -> dict[str, str]:
    """Return every expression of these dashboards by its place, variables filled in."""
    return {
        f"{file.stem}: {panel['title']} ({target['refId']})": target["expr"]
        .replace("$__rate_interval", RANGE)
        .replace("[1h]", f"[{RANGE}]")
        .replace("$zone", "hospital|cloud")
        for file in files
        for panel in panels(file)
        for target in panel["targets"]
    }


def rules() -> list[dict[str, Any]]:
    """Return the alerting rules."""
    (group,) = yaml.safe_load((DASHBOARDS / "alerts.yaml").read_text())["groups"]
    return cast("list[dict[str, Any]]", group["rules"])


def scraping(ports: Iterable[int]) -> dict[str, Any]:
    """Return a configuration that scrapes processes every second."""
    targets = [f"127.0.0.1:{port}" for port in ports]
    job = {"job_name": "dimse-mesh", "scrape_interval": "1s", "static_configs": [{"targets": targets}]}
    return {"scrape_configs": [job], "rule_files": [str((DASHBOARDS / "alerts.yaml").absolute())]}


@pytest.fixture(scope="module")
def scraped(watched: Observed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has seen a mesh at work for a while; the mesh is still at work."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while not stop.wait(0.2):
                a_bit_of_everything(watched)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    with prometheus(tmp_path_factory.mktemp("prometheus"), scraping(watched.ports.values())) as server:
        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        try:
            needed = 'min(count_over_time(dimse_mesh_protocol_errors_total{code="unknown-context"}[1m])) > 4'
            wait_until(lambda: bool(server.value(needed)), "four scrapes of a mesh at work", timeout=40)
            yield server
        finally:
            stop.set()
            worker.join(30)
    assert not failures, failures


@pytest.mark.parametrize("place", expressions(LIVE))
def test_every_panel_shows_something(scraped: Prometheus, place: str) -> None:
    found = scraped.value(expressions(LIVE)[place])
    assert found, f"{place} is empty: {expressions(LIVE)[place]}"
    for series in found:
        assert float(series["value"][1]) == float(series["value"][1]), "not a number"


def test_dashboards_have_their_variables(scraped: Prometheus) -> None:
    zones = scraped.ask("label/dimse_mesh_zone/values", **{"match[]": "target_info"})
    assert set(zones) == {"hospital", "cloud"}
    for file in FILES:
        model = json.loads(file.read_text())
        names = [one["name"] for one in model["templating"]["list"]]
        assert names == (["datasource", "zone"] if file in MEASURED else ["datasource", "traces", "zone"])


def test_alerting_rules_are_loaded_and_find_the_dead_target(scraped: Prometheus) -> None:
    (group,) = scraped.ask("rules")["groups"]
    assert [rule["name"] for rule in group["rules"]] == [rule["alert"] for rule in rules()]
    assert not [rule["lastError"] for rule in group["rules"] if rule.get("lastError")]
    unreachable = next(rule["expr"] for rule in rules() if rule["alert"] == "DimseMeshTargetUnreachable")
    assert [series["metric"] for series in scraped.value(unreachable)] == [{"ae_title": DEAD}]


def test_metrics_pass_the_linter(watched: Observed) -> None:
    promtool = require_tool("promtool")
    for where in watched.ports:
        run = subprocess.run(
            [promtool, "check", "metrics"],
            input=watched.exposition(where),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert run.returncode == 0, f"{where}: {run.stdout}{run.stderr}"


def test_alerts_fire_when_they_must_and_not_otherwise(tmp_path: Path) -> None:
    promtool = require_tool("promtool")
    stripped = [{key: value for key, value in rule.items() if key != "annotations"} for rule in rules()]
    alerts = tmp_path / "alerts.yaml"
    alerts.write_text(yaml.safe_dump({"groups": [{"name": "dimse-mesh", "rules": stripped}]}))
    cases = tmp_path / "cases.yaml"
    template = Path(__file__).with_name("alerts_test.yaml").read_text()
    cases.write_text(template.replace("[ALERTS]", f"[{alerts}]"))
    run = subprocess.run(
        [promtool, "test", "rules", str(cases)], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for rule in rules():
        assert f"alertname: {rule['alert']}" in template
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert {"summary", "description"} <= rule["annotations"].keys()


def test_dashboards_are_what_their_generator_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "k8s.dashboards.generate", tmp_path], check=True, timeout=60)
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert {file.name: file.read_text() for file in FILES} == written
    listed = yaml.safe_load((DASHBOARDS / "kustomization.yaml").read_text())["configMapGenerator"][0]["files"]
    assert set(listed) == {file.name for file in FILES}


def test_panels_lie_beside_each_other() -> None:
    for file in FILES:
        taken: set[tuple[int, int]] = set()
        for panel in panels(file):
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            taken |= cells


def test_expressions_name_only_metrics_that_exist(watched: Observed) -> None:
    served = {sample.name for where in watched.ports for sample in watched.samples(where)}
    text = " ".join([*expressions(MEASURED).values(), *(rule["expr"] for rule in rules())])
    named = set(re.findall(r"\b(?:dimse_mesh|process|target)_[a-z_]+\b(?=[^=~\"]*)", text))
    labels = {"dimse_mesh_zone"}
    pages = "\n".join(
        Path(page).read_text() for page in ("docs/delivery.md", "docs/audit.md", "docs/security.md")
    )
    unused = set(re.findall(r"^\| `(dimse_mesh_\w+)`", pages, re.MULTILINE))
    """Of what this mesh doesn't use: durable routes and the audit trail."""
    assert named - labels <= served | unused | {"dimse_mesh_protocol_errors_total"}
