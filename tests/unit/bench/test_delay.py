"""The relay that delays: what it is given arrives, and it says how much it has carried."""

from __future__ import annotations

import signal
import socket
import sys
import time
from pathlib import Path

from tests.support.ports import reserve_port
from tests.support.process import Child

ONE_WAY = 0.02
"""Seconds."""


def test_bytes_of_both_directions_are_delayed_and_counted(tmp_path: Path) -> None:
    port = reserve_port()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = str(listener.getsockname()[1])
        command = [sys.executable, "-m", "tests.bench.delay", str(port), target, str(ONE_WAY)]
        with Child(command, log=tmp_path / "delay.log") as relay:
            relay.wait_for_port(port)
            with socket.create_connection(("127.0.0.1", port), 10) as client:
                listener.settimeout(10)
                server, _ = listener.accept()
                with server:
                    started = time.perf_counter()
                    client.sendall(bytes(1000))
                    assert server.recv(1000, socket.MSG_WAITALL) == bytes(1000)
                    server.sendall(bytes(500))
                    assert client.recv(500, socket.MSG_WAITALL) == bytes(500)
                    assert time.perf_counter() - started >= 2 * ONE_WAY
                    relay.send_signal(signal.SIGUSR1)
                    assert relay.wait_for_line("^carried ") == "carried 1500"
