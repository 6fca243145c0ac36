"""A service that loses the permission for a subscription while it runs says so, and isn't ready until it is back."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from tests.support.mesh import zone_config
from tests.support.nats import nats_server
from tests.support.permitted import Bus
from tests.support.ports import reserve_port
from tests.support.process import Child, wait_until

OPERATIONS = '"DIMSE.zone.hospital.store.*.*.* store"'


def readyz(port: int) -> tuple[int, str]:
    """Return status and text; status 0 while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_a_lost_permission_is_a_line_and_a_failed_readiness(tmp_path: Path) -> None:
    port = reserve_port()
    config = zone_config("hospital", more={"observability": {"http": {"host": "127.0.0.1", "port": port}}})
    bus = Bus.of(tmp_path / "bus", [config])
    whole = bus.one_server()
    assert OPERATIONS in whole
    with nats_server(tmp_path / "nats", config=whole) as server:
        file = tmp_path / "hospital.yaml"
        file.write_text(yaml.safe_dump({**config, "nats": bus.access("hospital", server.url)}))
        command = [sys.executable, "-m", "dimse_mesh.app", "run", "store", "--config", str(file)]
        with Child(command, log=tmp_path / "store.log") as child:
            wait_until(lambda: readyz(port)[0] == 200, "it is ready", timeout=60)
            server.reload(whole.replace(OPERATIONS, '"nothing.at.all"'))
            wait_until(lambda: readyz(port)[0] == 503, "it isn't ready", timeout=60)
            said = "NATS does not let role store of zone hospital subscribe to DIMSE.zone.hospital.store"
            wait_until(lambda: said in readyz(port)[1], "it says why", timeout=60)
            child.wait_for_line(said, timeout=60)
            server.reload(whole)
            server.stop()
            server.start()
            wait_until(lambda: readyz(port)[0] == 200, "it is ready again", timeout=60)
