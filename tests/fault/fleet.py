"""Every instance a process of its own, no supervisor: the test alone decides who dies, who stops and who comes back."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.forking import SERVICES
from tests.support.process import Child, anonymous_bytes, cpu_seconds, open_files

COMMAND = (sys.executable, "-m", "dimse_mesh.app", "run")
START_TIMEOUT = 30.0


@dataclass(slots=True, eq=False)
class Instance:
    """One running service."""

    zone: str
    service: str
    child: Child

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.child.pid

    def wait_ready(self) -> None:
        """Return when its listeners and subscriptions stand."""
        self.child.wait_for_line(r"^ready$", timeout=START_TIMEOUT)

    def kill(self) -> None:
        """Kill -9 and reap."""
        self.child.send_signal(signal.SIGKILL)
        self.child.wait(timeout=10)
        self.child.stop()

    def drain(self) -> None:
        """SIGTERM; it ends by itself."""
        self.child.send_signal(signal.SIGTERM)

    def pause(self) -> None:
        """Stop the process where it is; its sockets stay."""
        self.child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self.child.send_signal(signal.SIGCONT)

    def allocated(self) -> int:
        """Return its resident bytes that no file is behind: they tell a leak."""
        return anonymous_bytes(self.pid)

    def cpu(self) -> float:
        """Return the CPU seconds that it has used."""
        return cpu_seconds(self.pid)

    def descriptors(self) -> int:
        """Return how many files it has open."""
        return open_files(self.pid)

    def threads(self) -> int:
        """Return how many threads it has."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/task").iterdir())


@dataclass(slots=True)
class Fleet:
    """Instances of some zones. `env` is laid over the configuration of each."""

    directory: Path
    env: Mapping[str, str] = field(default_factory=dict)
    instances: list[Instance] = field(default_factory=list)
    _configs: dict[str, Path] = field(default_factory=dict)
    _count: int = 0

    def zone(self, config: Mapping[str, Any], nats: Mapping[str, Any]) -> None:
        """Write the configuration of a zone; `nats` says how it reaches NATS."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / f"{config['zone']}.yaml"
        path.write_text(yaml.safe_dump({**config, "nats": dict(nats)}, sort_keys=False))
        self._configs[config["zone"]] = path

    def start(
        self, zone: str, service: str, *, wait: bool = True, command: Sequence[str] = COMMAND
    ) -> Instance:
        """Start an instance; without `wait` call its `wait_ready` later. `command` runs services of another version."""
        self._count += 1
        child = Child(
            [*command, service, "--config", str(self._configs[zone])],
            log=self.directory / f"{zone}-{service}-{self._count}.log",
            env=self.env,
            fork=SERVICES,
        )
        instance = Instance(zone, service, child)
        self.instances.append(instance)
        if wait:
            instance.wait_ready()
        return instance

    def start_all(self, *wanted: tuple[str, str]) -> list[Instance]:
        """Start these (zone, service) together and wait for all."""
        started = [self.start(zone, service, wait=False) for zone, service in wanted]
        for instance in started:
            instance.wait_ready()
        return started

    def of(self, service: str, zone: str | None = None) -> list[Instance]:
        """Return the running instances of a service."""
        return [
            i
            for i in self.instances
            if i.service == service and zone in {None, i.zone} and i.child.returncode is None
        ]

    def kill(self, instance: Instance) -> None:
        """Kill -9 an instance and forget it."""
        self.instances.remove(instance)
        instance.kill()

    def retire(self, instance: Instance, *, timeout: float = 60.0) -> int:
        """Drain an instance, wait for its end, forget it, and return its exit code."""
        instance.drain()
        code = instance.child.wait(timeout=timeout)
        self.instances.remove(instance)
        instance.child.stop()
        return code

    def output(self) -> str:
        """Return the end of what every instance has printed, for failure messages."""
        return "\n".join(i.child.describe() for i in self.instances)

    def stop(self) -> None:
        """Stop everything."""
        for instance in self.instances:
            instance.child.send_signal(signal.SIGKILL)
        for instance in self.instances:
            instance.child.stop()
        self.instances.clear()


@contextmanager
def fleet(directory: Path, *, env: Mapping[str, str] | None = None) -> Iterator[Fleet]:
    """Run a fleet for the length of the block."""
    made = Fleet(directory, env or {})
    try:
        yield made
    finally:
        made.stop()
