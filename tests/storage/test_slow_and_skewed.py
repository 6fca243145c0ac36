"""A bucket behind a slow line, and a clock that is wrong: the client gets a failure, and the log says which."""

from __future__ import annotations

import time
from pathlib import Path

from tests.fault.relay import Relay
from tests.storage.mesh import files_in, stores
from tests.storage.s3 import S3Server
from tests.support.files import enhanced_ct, synthetic
from tests.support.mesh import COMMAND
from tests.support.process import Child, require_tool
from tests.support.wire import Status

PART = 5 << 20
FAKETIME = "/usr/bin/faketime"


def test_a_slow_server_holds_the_client_back_and_one_that_is_too_slow_refuses_it(
    server: S3Server, tmp_path: Path
) -> None:
    with Relay(server.port) as line:
        settings = server.settings("slow", part_size=PART)
        settings["s3"] = {**settings["s3"], "endpoint": f"http://127.0.0.1:{line.port}"}
        with stores(tmp_path, {"BUCKET": settings}) as running:
            content = enhanced_ct(1, 3 * PART)
            line.rate = 4_000_000
            began = time.monotonic()
            assert running.store("BUCKET", content) == [0]
            assert time.monotonic() - began > 2, "it was answered before the slow line can have had it"
            assert list(files_in(server.bucket / "slow").values()) == [content]

            line.rate = 50_000  # a part takes far longer than `timeout`
            assert running.store("BUCKET", enhanced_ct(2, 3 * PART)) == [Status.OUT_OF_RESOURCES]
            assert (
                "objects for BUCKET are refused: s3://cohort/slow: timed-out" in running.mesh.log.read_text()
            )
            line.rate = float("inf")
            assert running.store("BUCKET", synthetic(3, 1000)) == [0]
            assert len(files_in(server.bucket / "slow")) == 2


def test_a_clock_that_is_half_an_hour_behind(server: S3Server, tmp_path: Path) -> None:
    require_tool(FAKETIME)
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    behind = {"LD_PRELOAD": str(library), "FAKETIME": "-30m", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    places = {"BUCKET": server.settings("skewed", part_size=PART)}
    with stores(tmp_path, places, instances={"scu": 0}) as running:
        mesh = running.mesh
        nats = {
            "DIMSE_MESH_NATS__SERVERS": f'["nats://127.0.0.1:{mesh.nats_port}"]',
            "DIMSE_MESH_NATS__NKEY_SEED": str(mesh.nats("cloud").nkey_seed),
        }
        command = [*COMMAND, "run", "scu", "--config", str(mesh.directory / "cloud.yaml")]
        with Child(command, log=tmp_path / "scu.log", env={**behind, **nats}) as executor:
            executor.wait_for_line("event=ready", timeout=60)
            sent = synthetic(1, 1000), enhanced_ct(2, 2 * PART)
            assert running.store("BUCKET", *sent) == [Status.OUT_OF_RESOURCES] * 2
            executor.wait_for_line(
                "objects for BUCKET are refused: s3://cohort/skewed: access-denied: RequestTimeTooSkewed"
            )
    assert not files_in(server.bucket / "skewed")
