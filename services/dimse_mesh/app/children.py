"""One service instance as a child process of the supervisor."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import anyio

from dimse_mesh.app.nursery import Nursery
from dimse_mesh.app.services import spelt
from dimse_mesh.runtime.supervised import FAILED, INSTANCE, PARENT, READY, new_instance
from dimse_mesh.schemas.service import ServiceName

MAX_REPORT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """Which service of which zone; `index` tells instances of one service apart."""

    config: Path
    zone: str
    service: ServiceName
    index: int
    environment: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        number = f"#{self.index + 1}" if self.index else ""
        return f"{self.zone}/{spelt(self.service)}{number}"


class Child:
    """A running instance, made by `start`. The kernel sends it SIGTERM when this process ends, whatever the cause."""

    def __init__(self, spec: ChildSpec, instance: str, pid: int, report: int) -> None:
        self.spec = spec
        self.instance = instance
        self.pid = pid
        self.ready = False
        self.failure: str | None = None
        """The reason why it could not start, in its own words."""
        self._report = report
        self._waiting = anyio.Lock()
        self._ended = os.pidfd_open(pid)
        self._code: int | None = None

    @classmethod
    async def start(cls, spec: ChildSpec, nursery: Nursery) -> Self:
        """Start an instance.

        Raises:
            StartError: it can't be started.
        """
        instance = new_instance()
        report, theirs = os.pipe()
        try:
            pid = await nursery.fork(
                ["run", spelt(spec.service), "--config", str(spec.config)],
                {**spec.environment, INSTANCE: instance, PARENT: str(os.getpid())},
                theirs,
            )
        except BaseException:
            os.close(report)
            raise
        finally:
            os.close(theirs)
        os.set_blocking(report, False)
        return cls(spec, instance, pid, report)

    @property
    def running(self) -> bool:
        """Whether the process is still running."""
        if self._code is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code is None

    async def hear(self) -> None:
        """Wait for its one line. Afterwards `ready` is true, `failure` says why not, or the process died silently."""
        heard = b""
        while b"\n" not in heard and len(heard) < MAX_REPORT_BYTES:
            await anyio.wait_readable(self._report)
            part = os.read(self._report, MAX_REPORT_BYTES)
            if not part:
                break
            heard += part
        word, _, why = heard.decode(errors="replace").strip().partition(" ")
        if word == READY:
            self.ready = True
        elif word == FAILED:
            self.failure = why

    async def wait(self) -> int:
        """Wait until it ends; return its exit code, negative for a signal."""
        async with self._waiting:  # one descriptor, one waiter at a time
            while self.running:
                await anyio.wait_readable(self._ended)
        assert self._code is not None
        return self._code

    async def stop(self, grace: float) -> None:
        """Send SIGTERM, and SIGKILL after `grace` seconds."""
        self.send(signal.SIGTERM)
        with anyio.move_on_after(grace):
            await self.wait()
        if self.running:
            self.send(signal.SIGKILL)
            with anyio.CancelScope(shield=True):
                await self.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal if the process is still running."""
        if self.running:
            os.kill(self.pid, number)

    def close(self) -> None:
        """Close the descriptors of a process that has ended."""
        os.close(self._report)
        os.close(self._ended)


def nats_environment(url: str, seeds: Path) -> dict[str, str]:
    """Return the environment that makes a service use the NATS at `url` and nothing else of its file's `nats`.

    Args:
        seeds: the folder of its zone's nkey seeds.
    """
    return {
        "DIMSE_MESH_NATS__SERVERS": json.dumps([url]),
        "DIMSE_MESH_NATS__NKEY_SEED": str(seeds),
        **{
            f"DIMSE_MESH_NATS__{name}": "null"
            for name in ("TOKEN", "TOKEN_FILE", "USER", "PASSWORD", "CREDENTIALS", "TLS")
        },
    }
