"""What `tilt up -- --mode=local` runs, by the commands of the Tiltfile itself, and its button that kills a handler."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support import dcmtk
from tests.support.files import synthetic, write_file
from tests.support.nats import nats_server
from tests.support.ports import reserve_port
from tests.support.process import Child, wait_until
from tests.support.tiltfile import Tilt, load_tiltfile


@dataclass(slots=True)
class Running:
    """The services of the Tiltfile, on free ports."""

    tilt: Tilt
    entry: int
    health: dict[str, int] = field(default_factory=dict)
    services: dict[str, Child] = field(default_factory=dict)

    def is_ready(self, name: str) -> bool:
        """Tell whether a service's own probe is content."""
        path = self.tilt.local_resources[name]["readiness_probe"]["http_get"]["path"]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health[name]}{path}", timeout=10):
                return True
        except (urllib.error.URLError, ConnectionError):
            return False

    def press(self, button: str) -> str:
        """Do what a button does, on the port that the service has here."""
        command = self.tilt.local_resources[button]["cmd"]
        names = {
            probed(more): name for name, more in self.tilt.local_resources.items() if name in self.health
        }
        command = re.sub(r"\d+$", lambda port: str(self.health[names[int(port[0])]]), command)
        return subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, check=True, timeout=60
        ).stdout


def probed(resource: Mapping[str, Any]) -> int:
    """Return the port of an HTTP probe, 0 if there is none."""
    action = resource.get("readiness_probe", {}).get("http_get", {"port": 0})
    return int(action["port"])


@pytest.fixture(params=["live", "durable"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    """Every service that Tilt would start; NATS and target are those of the tests."""
    tilt = load_tiltfile(Path("Tiltfile"), mode="local", delivery=request.param, traces="off")
    entry = reserve_port()
    made = Running(tilt, entry)
    with ExitStack() as stack:
        nats = stack.enter_context(nats_server(tmp_path / "nats"))
        receiver, target = dcmtk.storescp(tmp_path / "arrived", ae_title="ARCHIVE")
        stack.enter_context(receiver)
        for name, resource in tilt.local_resources.items():
            if "dimse-mesh run" not in resource.get("serve_cmd", ""):
                continue
            made.health[name] = reserve_port()
            listener = entry if name == "hospital-association" else reserve_port()
            aes = [{"ae_title": "ARCHIVE", "host": "127.0.0.1", "port": target, "default": True}]
            environment = {
                **resource["serve_env"],
                "DIMSE_MESH_NATS__SERVERS": json.dumps([nats.url]),
                "DIMSE_MESH_OBSERVABILITY__HTTP__PORT": str(made.health[name]),
                "DIMSE_MESH_ASSOCIATION__LISTENERS": json.dumps([{"host": "127.0.0.1", "port": listener}]),
            }
            if name.startswith("cloud-"):
                environment["DIMSE_MESH_SCU__REMOTE_AES"] = json.dumps(aes)
            command = ["sh", "-c", resource["serve_cmd"]]
            made.services[name] = stack.enter_context(
                Child(command, log=tmp_path / f"{name}.log", env=environment)
            )
        for name in made.services:
            wait_until(lambda name=name: made.is_ready(name), f"{name} is ready", timeout=60)  # type: ignore[misc]
        yield made


def test_services_of_the_tiltfile_carry_objects_and_survive_the_button(
    running: Running, tmp_path: Path
) -> None:
    def stored(number: int) -> int:
        file = write_file(tmp_path / f"{number}.dcm", synthetic(number, 50_000))
        return dcmtk.storescu(running.entry, file, called="ARCHIVE", env=dcmtk.NO_DELAY).code

    assert stored(1) == 0
    assert "killed process" in running.press("kill a handler")
    handler = running.services["hospital-store"]
    handler.wait_for_line("Killed")
    wait_until(lambda: handler.output.count("event=ready") == 2, "the handler is back", timeout=60)
    assert running.is_ready("hospital-store")
    assert stored(2) == 0
    arrived = tmp_path / "arrived"
    wait_until(lambda: len(list(arrived.iterdir())) == 2, "both objects are at the target", timeout=60)
