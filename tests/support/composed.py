"""compose.yaml turned so that it runs without a network of its own: the same services on host networking."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.containers import BASE, IMAGE
from tests.support.nats import nats_server_binary
from tests.support.ports import reserve_port

COMPOSE_FILE = Path("compose.yaml")
HEALTH_PORT = "DIMSE_MESH_OBSERVABILITY__HTTP__PORT"


@dataclass(frozen=True, slots=True)
class Composed:
    """A compose file for a test, and where its services listen on 127.0.0.1."""

    file: Path
    listeners: dict[str, int]
    """Zone -> DICOM port."""
    health: dict[str, int]
    """Service -> HTTP port."""
    orthanc: int
    prometheus: int


def compose_for_test(directory: Path) -> Composed:
    """Write the file and what it mounts.

    Changed are: network (host, loopback only), ports (free ones), and the images of others, which can't be
    pulled here: nats-server from the tests' own Python environment, Orthanc and Prometheus from this machine's /usr.
    """
    document = yaml.safe_load(COMPOSE_FILE.read_text())
    nats, orthanc, dicom, prometheus = (reserve_port() for _ in range(4))
    listeners: dict[str, int] = {}
    health: dict[str, int] = {}
    for name, service in document["services"].items():
        service = document["services"][name] = copy.deepcopy(service)  # noqa: PLW2901 - anchors are shared
        service.pop("ports", None)
        service.pop("build", None)
        service["network_mode"] = "host"
        service["extra_hosts"] = ["nats:127.0.0.1", "target:127.0.0.1"]
        service["volumes"] = [_absolute(volume) for volume in service.get("volumes", ())]
        if service.get("command", [""])[0] != "run":
            continue
        health[name] = reserve_port()
        service["image"] = IMAGE
        environment = service["environment"] = {
            "DIMSE_MESH_NATS__SERVERS": json.dumps([f"nats://nats:{nats}"]),
            "DIMSE_MESH_OBSERVABILITY__HTTP__HOST": "127.0.0.1",
            HEALTH_PORT: str(health[name]),
        }
        zone, _, component = name.partition("-")
        if component == "association":
            listeners[zone] = reserve_port()
            listener = {"host": "127.0.0.1", "port": listeners[zone]}
            environment["DIMSE_MESH_ASSOCIATION__LISTENERS"] = json.dumps([listener])
        if name == "cloud-scu":
            aes = [{"ae_title": "ARCHIVE", "host": "target", "port": dicom, "default": True}]
            environment["DIMSE_MESH_SCU__REMOTE_AES"] = json.dumps(aes)
    services = document["services"]
    _nats(services["nats"], directory, nats)
    _orthanc(services["target"], directory, dicom=dicom, http=orthanc)
    _prometheus(services["prometheus"], directory, prometheus, health)
    file = directory / "compose.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return Composed(file, listeners, health, orthanc, prometheus)


def _absolute(volume: str) -> str:
    return str(COMPOSE_FILE.parent.resolve()) + volume[1:] if volume.startswith("./") else volume


def _nats(service: dict[str, Any], directory: Path, port: int) -> None:
    service["image"] = BASE
    service["entrypoint"] = ["/opt/nats-server"]
    original = Path("deploy/compose/nats.conf").read_text()
    text = original.replace("port: 4222", f"listen: '127.0.0.1:{port}'").replace("http_port: 8222\n", "")
    assert text.count("\n") == original.count("\n") - 1
    service["volumes"] = [
        f"{nats_server_binary()}:/opt/nats-server:ro",
        _file(directory / "nats.conf", text, "/etc/nats/nats.conf"),
    ]


def _orthanc(service: dict[str, Any], directory: Path, *, dicom: int, http: int) -> None:
    config = json.loads(Path("deploy/compose/orthanc.json").read_text())
    config |= {"DicomPort": dicom, "HttpPort": http, "HttpBindAddresses": ["127.0.0.1"], "Plugins": []}
    service["image"] = BASE
    service["entrypoint"] = ["/usr/sbin/Orthanc"]
    service["volumes"] = [
        "/usr:/usr:ro",
        _file(directory / "orthanc.json", json.dumps(config), "/etc/orthanc/orthanc.json"),
    ]


def _prometheus(service: dict[str, Any], directory: Path, port: int, health: dict[str, int]) -> None:
    config = yaml.safe_load(Path("deploy/compose/prometheus.yml").read_text())
    config["global"]["scrape_interval"] = "1s"
    for job in config["scrape_configs"][0]["static_configs"]:
        job["targets"] = [f"127.0.0.1:{health[target.partition(':')[0]]}" for target in job["targets"]]
    service["image"] = BASE
    service["entrypoint"] = ["/usr/bin/prometheus"]
    service["command"] = [*service["command"], f"--web.listen-address=127.0.0.1:{port}"]
    service["volumes"] = [
        "/usr:/usr:ro",
        _file(directory / "prometheus.yml", yaml.safe_dump(config), "/etc/prometheus/prometheus.yml"),
        *(volume for volume in service["volumes"] if volume.endswith(":/etc/prometheus/alerts.yaml:ro")),
    ]


def _file(path: Path, text: str, there: str) -> str:
    path.write_text(text)
    path.chmod(0o644)
    return f"{path}:{there}:ro"
