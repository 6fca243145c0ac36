"""compose.yaml under a real engine: DICOM through it from outside, a service killed under load."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import dcmtk
from tests.support.composed import Composed, compose_for_test
from tests.support.containers import COMPOSE, DEV_IMAGE, IMAGE, Engine
from tests.support.files import synthetic, write_file
from tests.support.nats import nats_server
from tests.support.process import Child, require_tool, wait_until

MAX_IMAGE_BYTES = 400_000_000


@dataclass(frozen=True, slots=True)
class Stack:
    """The composed services, up."""

    docker: Engine
    composed: Composed
    project: str

    def compose(self, *arguments: str) -> str:
        return self.docker.compose(self.composed.file, self.project, *arguments)

    def container(self, service: str) -> str:
        labels = {"project": self.project, "service": service}
        filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        return self.docker.run("ps", "--all", "--quiet", *filters).strip()

    def healthy(self) -> bool:
        return all(self.docker.healthy(self.container(name)) for name in self.composed.health)

    def archive(self, path: str) -> Any:
        return fetch(f"http://127.0.0.1:{self.composed.orthanc}{path}")


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as reply:
        return json.loads(reply.read())


@pytest.fixture(scope="module")
def stack(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    for tool in (COMPOSE, "/usr/sbin/Orthanc", "/usr/bin/prometheus"):
        require_tool(tool)
    directory = tmp_path_factory.mktemp("compose")
    made = Stack(docker, compose_for_test(directory), f"mesh{directory.name.replace('-', '')}")
    try:
        made.compose("up", "--detach")
        wait_until(made.healthy, "ten services are healthy", timeout=90)
        yield made
        made.compose("down", "--volumes", "--timeout", "20")
        assert docker.run("ps", "--all", "--quiet", "--filter", f"name={made.project}") == ""
    finally:
        for name in docker.run("ps", "--all", "--quiet", "--filter", f"name={made.project}").split():
            docker.run("rm", "--force", name)


def test_compose_file_is_valid_for_version_1(docker: Engine) -> None:
    docker.compose(Path("compose.yaml"), "check", "config", "--quiet")


def test_image_is_small_and_starts_without_root(docker: Engine) -> None:
    size = int(docker.run("image", "inspect", "--format", "{{.Size}}", IMAGE))
    config = json.loads(docker.run("image", "inspect", "--format", "{{json .Config}}", IMAGE))
    begun = time.monotonic()
    said = docker.run("run", "--rm", "--network=host", "--read-only", "--cap-drop=ALL", IMAGE, "--help")
    print(f"image {size / 1e6:.0f} MB, `--help` in {time.monotonic() - begun:.1f} s")
    assert "run" in said
    assert size < MAX_IMAGE_BYTES
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["dimse-mesh"]
    assert config["Healthcheck"]["Test"][0] == "CMD"


def test_development_image_takes_new_code_and_restarts_in_place(docker: Engine, tmp_path: Path) -> None:
    """What Tilt's live update does: files copied over, SIGHUP to process 1; the container goes on."""
    zone = tmp_path / "zone.yaml"
    name = f"dev-{tmp_path.name.replace('_', '-')}"
    with nats_server(tmp_path / "nats") as nats:
        zone.write_text(f"zone: dev\nnats: {{servers: ['{nats.url}']}}\n")
        zone.chmod(0o644)
        run = ["run", "--detach", "--name", name, "--network=host", "--volume", f"{zone}:/zone.yaml:ro"]
        docker.run(*run, DEV_IMAGE, "run", "store", "--config", "/zone.yaml")
        try:
            wait_until(lambda: docker.run("logs", name).count("event=ready") == 1, "it is ready")
            change = "echo 'print(\"new code\")' >> /src/services/dimse_mesh/store/service.py && kill -HUP 1"
            docker.run("exec", name, "sh", "-c", change)
            wait_until(lambda: "new code" in docker.run("logs", name), "the new code runs")
            wait_until(lambda: docker.run("logs", name).count("event=ready") == 2, "it is ready again")
            docker.run("stop", "--time", "20", name)
            assert docker.state(name)["ExitCode"] == 0
        finally:
            docker.run("rm", "--force", name)


def test_container_with_a_wrong_configuration_says_so_and_ends(docker: Engine, tmp_path: Path) -> None:
    file = tmp_path / "zone.yaml"
    file.write_text("zone: a\nlistener: 1\n")
    file.chmod(0o644)
    volume = f"{file}:/etc/dimse-mesh/zone.yaml:ro"
    name = f"wrong-{tmp_path.name.replace('_', '-')}"
    arguments = ["run", "--name", name, "--network=host", "--volume", volume, IMAGE]
    with pytest.raises(AssertionError, match="listener: unknown field"):
        docker.run(*arguments, "run", "store", "--config", "/etc/dimse-mesh/zone.yaml")
    assert docker.state(name)["ExitCode"] == 2
    docker.run("rm", name)


def test_objects_stored_from_outside_arrive_in_the_target(stack: Stack, tmp_path: Path) -> None:
    sent = [synthetic(number, 100_000, study=61) for number in range(1, 6)]
    files = [write_file(tmp_path / f"{index}.dcm", one) for index, one in enumerate(sent)]
    entry = stack.composed.listeners["hospital"]
    assert dcmtk.echoscu(entry, called="ANY-AE").code == 0
    result = dcmtk.storescu(entry, *files, called="ANY-AE", env=dcmtk.NO_DELAY)
    assert result.code == 0, result.output
    found = {
        stack.archive(f"/instances/{one}")["MainDicomTags"]["SOPInstanceUID"]
        for one in stack.archive("/instances")
    }
    assert {one.sop_instance for one in sent} <= found


def test_prometheus_sees_every_service(stack: Stack) -> None:
    def up() -> list[str]:
        query = urllib.parse.quote("up{job='dimse-mesh'} == 1")
        answer = fetch(f"http://127.0.0.1:{stack.composed.prometheus}/api/v1/query?query={query}")
        return [one["metric"]["instance"] for one in answer["data"]["result"]]

    wait_until(lambda: len(up()) == 10, "Prometheus scrapes ten services", timeout=30)


def test_killed_handler_container_loses_nothing(stack: Stack, tmp_path: Path) -> None:
    count = 200
    sent = [synthetic(number, 20_000, study=62) for number in range(1, count + 1)]
    files = [write_file(tmp_path / f"{index:03}.dcm", one) for index, one in enumerate(sent)]
    before = len(stack.archive("/instances"))
    container = stack.container("hospital-store")
    command = [require_tool(f"{dcmtk.BIN}/storescu"), "-v", "-aec", "ANY-AE", "127.0.0.1"]
    command += [str(stack.composed.listeners["hospital"]), *map(str, files)]
    with Child(command, log=tmp_path / "storescu.log", env=dcmtk.NO_DELAY) as client:
        wait_until(lambda: client.output.count("Received Store Response") >= 20, "the transfer runs")
        stack.docker.run("kill", "--signal", "KILL", container)
        stack.docker.run("start", container)
        assert client.wait(timeout=90) == 0, client.describe()
        assert client.output.count("Received Store Response (Success)") == count
    assert len(stack.archive("/instances")) - before == count
    wait_until(lambda: stack.docker.healthy(container), "the killed handler is healthy again", timeout=60)


def test_stop_drains_an_open_association(stack: Stack, tmp_path: Path) -> None:
    """`docker stop` on the front-end: the transfer that runs is finished, then the container ends by itself."""
    count = 100
    files = [
        write_file(tmp_path / f"{n:03}.dcm", synthetic(n, 20_000, study=63)) for n in range(1, count + 1)
    ]
    container = stack.container("hospital-association")
    command = [require_tool(f"{dcmtk.BIN}/storescu"), "-v", "-aec", "ANY-AE", "127.0.0.1"]
    command += [str(stack.composed.listeners["hospital"]), *map(str, files)]
    with Child(command, log=tmp_path / "storescu.log", env=dcmtk.NO_DELAY) as client:
        wait_until(lambda: client.output.count("Received Store Response") >= 10, "the transfer runs")
        stack.docker.run("stop", "--time", "40", container)
        assert client.wait(timeout=60) == 0, client.describe()
        assert client.output.count("Received Store Response (Success)") == count
    assert stack.docker.state(container)["ExitCode"] == 0
    stack.docker.run("start", container)
    wait_until(lambda: stack.docker.healthy(container), "the front-end is back", timeout=60)
