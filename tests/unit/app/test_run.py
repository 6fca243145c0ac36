"""`dimse-mesh run`: one service alone, as an orchestrator runs it."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import yaml

from tests.support.mesh import COMMAND, SERVICES, zone_config
from tests.support.permitted import permitted_server
from tests.support.ports import reserve_port
from tests.support.process import Child, wait_until
from tests.unit.app.test_cli import dimse_mesh, one_line


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The `nats` section of the zone's file: where nats-server is, and the keys that it asks for."""
    with permitted_server(tmp_path_factory.mktemp("nats"), [zone_config("a")]) as (server, bus):
        yield bus.access("a", server.url)


def zone_file(directory: Path, nats: dict[str, Any], **more: object) -> Path:
    path = directory / "zone.yaml"
    path.write_text(yaml.safe_dump({"zone": "a", "nats": nats, **more}))
    return path


def run(service: str, file: Path, *, log: Path) -> Child:
    return Child([*COMMAND, "run", service, "--config", str(file)], log=log)


@pytest.mark.parametrize("service", SERVICES)
def test_service_stands_alone_and_drains_on_sigterm(
    tmp_path: Path, nats: dict[str, Any], service: str
) -> None:
    with run(service, zone_file(tmp_path, nats), log=tmp_path / "log") as child:
        child.wait_for_line("^ready$")
        assert child.stop() == 0
        assert "event=drained" in child.output


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_readiness_follows_the_connection_to_nats(tmp_path: Path) -> None:
    port = reserve_port()
    with permitted_server(tmp_path / "nats", [zone_config("a")]) as (nats, bus):
        access = bus.access("a", nats.url)
        file = zone_file(tmp_path, access, observability={"http": {"port": port}, "log_format": "json"})
        with run("scu", file, log=tmp_path / "log") as child:
            child.wait_for_line("^ready$")
            assert get(port, "/readyz") == (200, "ready\n")
            assert "dimse_mesh_associations_open 0.0" in get(port, "/metrics")[1]
            nats.kill()
            wait_until(lambda: get(port, "/readyz")[0] == 503, "not ready without NATS")
            assert get(port, "/livez")[0] == 200
            nats.start()
            wait_until(lambda: get(port, "/readyz")[0] == 200, "ready again with NATS")
            assert child.stop() == 0
            for line in child.output.splitlines():
                assert line == "ready" or json.loads(line)["zone"] == "a"


def test_port_of_health_in_use_is_one_line(tmp_path: Path, nats: dict[str, Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        file = zone_file(tmp_path, nats, observability={"http": {"port": port}, "log_level": "error"})
        line = one_line(dimse_mesh("run", "store", "--config", file), 1)
        assert line.startswith(f"observability.http: can't listen on 127.0.0.1:{port}: the port is in use")
