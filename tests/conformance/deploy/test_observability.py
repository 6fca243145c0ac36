"""Collector, Jaeger, Prometheus and Grafana: one configuration for Compose and Kubernetes, valid for the tools."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.jaeger import collector_program, jaeger_program
from tests.support.manifests import built
from tests.support.process import require_tool, wait_until
from tests.support.prometheus import Prometheus, prometheus

FOLDER = Path("k8s/observability")
ALERTS = Path("k8s/dashboards/alerts.yaml").absolute()
COMPOSED = Path("compose.observed.yaml")
TOOLS = {"collector", "jaeger", "prometheus", "grafana", "nats-exporter"}


def yaml_of(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def composed() -> dict[str, Any]:
    """Return the services of both files, as Compose merges them: what the second says wins."""
    services = {name: dict(one) for name, one in yaml_of(Path("compose.yaml"))["services"].items()}
    for name, more in yaml_of(COMPOSED)["services"].items():
        services[name] = services.get(name, {}) | more
    return services


def deployments() -> dict[str, dict[str, Any]]:
    """Return the container of each deployment by its name."""
    return {
        item["metadata"]["name"]: item["spec"]["template"]["spec"]["containers"][0]
        for item in built("observability")
        if item["kind"] == "Deployment"
    }


def test_compose_and_kubernetes_run_the_same_images_of_a_version() -> None:
    services, pods = composed(), deployments()
    assert pods.keys() == TOOLS
    for name, container in pods.items():
        (default,) = re.findall(r":-(.+)}$", services[name]["image"])
        assert default == container["image"]
        assert re.search(r":v?\d+\.\d+\.\d+$", default), default


def test_every_service_of_the_mesh_sends_its_spans_to_the_collector() -> None:
    for name, service in composed().items():
        if service.get("command", [""])[0] == "run":
            assert service["environment"] == {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, name
    for item in built("overlays/observed"):
        if item["kind"] == "DimseProxy":
            endpoint = item["spec"]["observability"]["otlpEndpoint"]
            assert endpoint == "http://collector.observability.svc:4318"


def test_files_that_compose_mounts_are_there() -> None:
    for name in TOOLS:
        for volume in composed()[name].get("volumes", ()):
            assert Path(volume.split(":")[0]).exists(), volume


def test_ports_that_one_names_are_listened_on_by_the_other() -> None:
    listened = {
        name: {port["containerPort"] for port in container["ports"]}
        for name, container in deployments().items()
    }
    text = "".join(path.read_text() for path in sorted(FOLDER.rglob("*.yaml")))
    named = {(host, int(port)) for host, port in re.findall(rf"\b({'|'.join(TOOLS)}):(\d{{4,5}})\b", text)}
    assert {host for host, _ in named} == TOOLS - {"grafana"}
    assert [(host, port) for host, port in named if port not in listened[host]] == []


def prometheus_configuration(path: Path) -> dict[str, Any]:
    """Return a configuration of ours with the rules where they are here.

    Debian's Prometheus is built without Kubernetes: instead of a cluster there is a list of targets.
    """
    config: dict[str, Any] = yaml_of(path)
    assert [Path(rules).name for rules in config["rule_files"]] == [ALERTS.name]
    config["rule_files"] = [str(ALERTS)]
    for job in config["scrape_configs"]:
        if job.pop("kubernetes_sd_configs", None):
            job["static_configs"] = []
    return config


@pytest.mark.parametrize("path", [Path("deploy/compose/prometheus.yml"), FOLDER / "prometheus.yaml"], ids=str)
def test_prometheus_takes_its_configuration(path: Path, tmp_path: Path) -> None:
    promtool = require_tool("promtool")
    file = tmp_path / "prometheus.yaml"
    file.write_text(yaml.safe_dump(prometheus_configuration(path)))
    run = subprocess.run(
        [promtool, "check", "config", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stdout + run.stderr


def pod(name: str, ip: str, *, port: str, **more: str) -> dict[str, Any]:
    """Return a port of a pod as Kubernetes' service discovery tells it."""
    meta = "__meta_kubernetes_pod_"
    return {
        "targets": [f"{ip}:{port}"],
        "labels": {
            "__meta_kubernetes_namespace": "imaging",
            f"{meta}name": name,
            f"{meta}ip": ip,
            f"{meta}phase": "Running",
            f"{meta}container_port_name": "http",
            f"{meta}label_app_kubernetes_io_name": "dimse-mesh",
            f"{meta}label_app_kubernetes_io_instance": "hospital",
            f"{meta}label_app_kubernetes_io_component": "association",
            f"{meta}annotation_prometheus_io_scrape": "true",
            f"{meta}annotation_prometheus_io_port": "9090",
            **{f"{meta}{label}": value for label, value in more.items()},
        },
    }


@pytest.fixture
def discovering(tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus with the cluster's configuration, to which pods are told in place of a cluster."""
    config = prometheus_configuration(FOLDER / "prometheus.yaml")
    (job,) = [job for job in config["scrape_configs"] if job["job_name"] == "dimse-mesh"]
    job["static_configs"] = [
        pod("hospital-association-1", "127.0.0.1", port="9090"),
        pod("hospital-association-1", "127.0.0.1", port="11112", container_port_name="dicom"),
        pod("gone", "127.0.0.2", port="9090", phase="Succeeded"),
        pod("silent", "127.0.0.3", port="9090", annotation_prometheus_io_scrape="false"),
        pod("foreign", "127.0.0.4", port="9090", label_app_kubernetes_io_name="orthanc"),
        pod("elsewhere", "127.0.0.5", port="9090", annotation_prometheus_io_port="8080"),
    ]
    config["scrape_configs"] = [job]
    with prometheus(tmp_path, config) as server:
        yield server


def test_prometheus_scrapes_each_running_pod_once_at_the_port_that_it_names(discovering: Prometheus) -> None:
    wait_until(lambda: bool(discovering.ask("targets")["activeTargets"]), "targets")
    found = {
        target["labels"]["pod"]: target["labels"]["instance"]
        for target in discovering.ask("targets")["activeTargets"]
    }
    assert found == {"hospital-association-1": "127.0.0.1:9090", "elsewhere": "127.0.0.5:8080"}


@pytest.mark.parametrize("name", ["collector", "jaeger"])
def test_configuration_is_valid_for_its_own_program(name: str) -> None:
    program = collector_program() if name == "collector" else jaeger_program()
    run = subprocess.run(
        [program, "validate", f"--config={FOLDER / name}.yaml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_validators_refuse_what_is_wrong(tmp_path: Path) -> None:
    config = yaml_of(FOLDER / "collector.yaml")
    config["connectors"]["spanmetrics"]["no_such_setting"] = 1
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(config))
    command = [collector_program(), "validate", f"--config={file}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode != 0
    assert "no_such_setting" in run.stdout + run.stderr


def test_grafana_finds_data_sources_and_dashboards() -> None:
    sources = {
        source["uid"]: source for source in yaml_of(FOLDER / "grafana/datasources.yaml")["datasources"]
    }
    assert {source["type"] for source in sources.values()} == {"prometheus", "jaeger"}
    text = json.dumps(list(sources.values()))
    assert set(re.findall(r'"datasourceUid": "(\w+)"', text)) <= sources.keys()
    (provider,) = yaml_of(FOLDER / "grafana/dashboards.yaml")["providers"]
    folder = provider["options"]["path"]
    mounts = {mount["mountPath"] for mount in deployments()["grafana"]["volumeMounts"]}
    volumes = {volume.split(":")[1] for volume in composed()["grafana"]["volumes"]}
    assert folder in mounts & volumes
