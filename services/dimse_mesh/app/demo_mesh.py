"""The processes of the demo: `dimse-mesh up` with two zones, and the archive. Both end when this process does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dimse_mesh.app.demo_peer import Digest
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.supervised import PARENT

MODALITY = "MODALITY"
ARCHIVE = "ARCHIVE"
ECHO = "ECHO"
VAULT = "VAULT"
"""The destination of the demo's durable route."""
ARCHIVE_SECONDS = 30.0
STOP_SECONDS = 20.0
_HOST = "127.0.0.1"
_FIXED = {
    "hospital": 11112,
    "archive": 11113,
    "echo": 11114,
    "cloud": 11115,
    "modality": 11116,
    "vault": 11117,
    "nats": 4222,
}


@dataclass(frozen=True, slots=True)
class DemoMesh:
    """What is running, and where."""

    hospital_port: int
    echo_port: int
    """Where whoever measures latency has to answer as the AE `ECHO`."""
    modality_port: int
    """Where the modality has to answer as `MODALITY`."""
    vault_port: int
    """Where the destination of the durable route has to answer, when it is up."""
    nats_port: int
    index: Path
    """What the archive says."""
    supervisor: subprocess.Popen[str]

    def stored(self) -> dict[str, Digest]:
        """Return what the archive holds, by SOP instance: the last of each."""
        lines = self.index.read_text().splitlines()[1:]
        return {words[0]: (words[1], words[3]) for words in (line.split() for line in lines)}

    def wait(self) -> None:
        """Wait until the zones have ended, or Ctrl-C."""
        self.supervisor.wait()


@contextmanager
def demo_mesh(folder: Path, *, fixed_ports: bool) -> Iterator[DemoMesh]:
    """Start everything below `folder`; stop it at the end of the block.

    Raises:
        StartError: something can't start; its own words are in the message.
    """
    ports = _choose_ports(fixed_ports)
    files = _write_zones(folder, ports)
    index = folder / "index.txt"
    with ExitStack() as stack:
        archive = stack.enter_context(_archive(folder, ports, index))
        supervisor = stack.enter_context(_supervisor(folder, files, ports["nats"]))
        _await_archive(archive, index)
        yield DemoMesh(
            hospital_port=ports["hospital"],
            echo_port=ports["echo"],
            modality_port=ports["modality"],
            vault_port=ports["vault"],
            nats_port=ports["nats"],
            index=index,
            supervisor=supervisor,
        )


def _choose_ports(fixed: bool) -> dict[str, int]:
    """Take the ports of docs/guide.md where they are free, any others where not."""
    chosen: dict[str, int] = {}
    with ExitStack() as stack:
        for name, port in _FIXED.items():
            probe = stack.enter_context(socket.socket())
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port if fixed else 0))
            except OSError:
                probe.bind((_HOST, 0))
            chosen[name] = probe.getsockname()[1]
    return chosen


def _write_zones(folder: Path, ports: dict[str, int]) -> list[Path]:
    zones: dict[str, dict[str, Any]] = {
        "hospital": {
            "zone": "hospital",
            "association": {"listeners": [{"host": _HOST, "port": ports["hospital"]}]},
            "scu": {
                "remote_aes": [{"ae_title": MODALITY, "host": _HOST, "port": ports["modality"]}],
            },
            "routes": [{"called": VAULT, "to": {"ae": VAULT}, "delivery": "durable"}],
            "spool": {"max_bytes": 256 << 20},
        },
        "cloud": {
            "zone": "cloud",
            "association": {"listeners": [{"host": _HOST, "port": ports["cloud"]}]},
            "scu": {
                "remote_aes": [
                    {"ae_title": ARCHIVE, "host": _HOST, "port": ports["archive"], "default": True},
                    {"ae_title": ECHO, "host": _HOST, "port": ports["echo"]},
                    {"ae_title": VAULT, "host": _HOST, "port": ports["vault"]},
                ]
            },
            "delivery": {"retry": {"first": 0.2, "longest": 0.5}},
        },
    }
    files = []
    for name, zone in zones.items():
        file = folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump({**zone, "observability": {"log_level": "warning"}}, sort_keys=False))
        files.append(file)
    return files


@contextmanager
def _archive(folder: Path, ports: dict[str, int], index: Path) -> Iterator[subprocess.Popen[bytes]]:
    objects = folder / "archive"
    objects.mkdir()
    with index.open("wb") as output, (folder / "archive.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "dimse_mesh.app.archive", str(objects)),
                # What it calls is called through its own zone's front-end.
                *(str(ports["archive"]), str(ports["cloud"])),
            ],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=log,
            process_group=0,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def _await_archive(archive: subprocess.Popen[bytes], index: Path) -> None:
    deadline = time.monotonic() + ARCHIVE_SECONDS
    while not index.stat().st_size:
        if archive.poll() is not None or time.monotonic() > deadline:
            log = (index.parent / "archive.log").read_text(errors="replace").strip().splitlines()
            raise StartError(f"the demo's archive can't start: {log[-1] if log else 'it says nothing'}")
        time.sleep(0.02)


@contextmanager
def _supervisor(folder: Path, files: list[Path], nats_port: int) -> Iterator[subprocess.Popen[str]]:
    log = folder / "mesh.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "dimse_mesh.app", "up", *map(str, files)),
                *("--nats-port", str(nats_port), "--data-dir", str(folder / "nats")),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, PARENT: str(os.getpid())},
            process_group=0,
        )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            process.wait()
            raise StartError("the zones can't start: " + " / ".join(log.read_text().splitlines()[-3:]))
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
