"""The product as a user runs it: `dimse-mesh up a.yaml b.yaml`, real processes, a real nats-server."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from dimse_mesh.app.local_keys import with_local_keys
from dimse_mesh.mesh import NatsSettings
from tests.support import forking
from tests.support.ports import reserve_port
from tests.support.process import Child, command_line, descendants, resident_bytes

SERVICES = ("association", "store", "query-retrieve", "n-service", "scu", "delivery")
COMMAND = (sys.executable, "-m", "dimse_mesh.app")


@dataclass(frozen=True, slots=True)
class Ae:
    """An AE that a zone serves to the mesh; somebody listens on `port`, or will."""

    title: str
    port: int
    zone: str


def zone_config(
    zone: str,
    *,
    listener: int | None = None,
    remote_aes: Sequence[Ae | Mapping[str, Any]] = (),
    routes: Sequence[Mapping[str, Any]] = (),
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the configuration of one zone as a file spells it; `more` is merged on the top level."""
    config: dict[str, Any] = {"zone": zone, "subject_root": "DIMSE"}
    if listener is not None:
        config["association"] = {"listeners": [{"host": "127.0.0.1", "port": listener}]}
    if remote_aes:
        config["scu"] = {
            "remote_aes": [
                {"ae_title": ae.title, "host": "127.0.0.1", "port": ae.port}
                if isinstance(ae, Ae)
                else dict(ae)
                for ae in remote_aes
            ]
        }
    if routes:
        config["routes"] = [dict(route) for route in routes]
    for key, value in (more or {}).items():
        if isinstance(value, Mapping) and isinstance(config.get(key), dict):
            config[key].update(value)
        else:
            config[key] = value
    return config


@dataclass(slots=True)
class Mesh:
    """A running mesh."""

    child: Child
    directory: Path
    nats_port: int
    listeners: dict[str, int]
    """Zone -> port of its listener."""
    aes: dict[str, Ae] = field(default_factory=dict)
    """AE titles reserved for targets of tests."""
    may_lack_permission: bool = False
    """Whether a service may ask NATS for what it isn't permitted; else that is an error at the end."""

    @classmethod
    def start(
        cls,
        directory: Path,
        configs: Sequence[Mapping[str, Any]],
        *,
        env: Mapping[str, str] | None = None,
        nats_port: int | None = None,
        jetstream: bool = True,
        timeout: float = 60.0,
    ) -> Self:
        """Write the zone files, start everything, and return when the mesh says `ready`.

        Args:
            nats_port: of the nats-server that the configurations name; None: one of the mesh's own.
            jetstream: whether that has JetStream though no route is durable, and keeps its data in `directory`/data.
        """
        directory.mkdir(parents=True, exist_ok=True)
        paths = []
        listeners = {}
        for config in configs:
            path = directory / f"{config['zone']}.yaml"
            path.write_text(yaml.safe_dump(dict(config), sort_keys=False))
            paths.append(str(path))
            for listener in config.get("association", {}).get("listeners", ())[:1]:
                listeners[config["zone"]] = listener["port"]
        command = [*COMMAND, "up", *paths]
        if nats_port is None:
            nats_port = reserve_port()
            command += ["--nats-port", str(nats_port)]
            command += ["--data-dir", str(directory / "data")] if jetstream else []
        child = Child(command, log=directory / "mesh.log", env=env, fork=forking.SERVICES)
        try:
            child.wait_for_line(r"^ready$", timeout=timeout)
        except BaseException:
            child.stop()
            raise
        return cls(child, directory, nats_port, listeners)

    @property
    def log(self) -> Path:
        """Everything that the mesh has printed."""
        return self.child.log

    def violations(self, zone: str, service: str) -> int:
        """Return how often nats-server has logged that a service may not do what it asks for."""
        return len(re.findall(rf"nats-server: .*\[ERR\].* {zone} {service} ", self.log.read_text()))

    def nats(self, zone: str) -> NatsSettings:
        """Return how a role of a zone connects to the mesh's own nats-server."""
        return with_local_keys(NatsSettings(servers=[f"nats://127.0.0.1:{self.nats_port}"]), zone)

    def pids(self) -> dict[str, int]:
        """Return the mesh's processes: `<zone>/<service>`, `nats-server`, `supervisor` -> pid."""
        found = {"supervisor": self.child.pid}
        for pid in descendants(self.child.pid):
            arguments = command_line(pid).split()
            if not arguments:
                continue
            if Path(arguments[0]).name.startswith("nats-server"):
                found["nats-server"] = pid
                continue
            service = next((word for word in arguments if word.replace("_", "-") in SERVICES), None)
            config = next((Path(word).stem for word in arguments if word.endswith(".yaml")), None)
            if service is not None:
                found[f"{config or '?'}/{service.replace('_', '-')}"] = pid
        return found

    def memory(self, *, peak: bool = False) -> dict[str, int]:
        """Return the resident bytes of each process."""
        return {name: resident_bytes(pid, peak=peak) for name, pid in self.pids().items()}

    def stop(self) -> int:
        """Stop everything with SIGTERM and return the exit code."""
        return self.child.stop(timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None and not self.may_lack_permission:
            denied = [line for line in self.log.read_text().splitlines() if "lacks the permission" in line]
            assert not denied, denied


def two_zones(
    directory: Path,
    *,
    target: Ae | None = None,
    route_all: bool = False,
    pool: int = 0,
    env: Mapping[str, str] | None = None,
    more: Mapping[str, Mapping[str, Any]] | None = None,
) -> Mesh:
    """Start zones `hospital` and `cloud`, each with a listener; the called AE title is the destination.

    `target` is an AE of the cloud; `route_all` sends everything that the hospital gets to it. `pool` AE
    titles are reserved in each zone (CLOUD01.., HOSPITAL01..) for targets that tests start: see `Mesh.aes`.
    `more` is extra configuration by zone.
    """
    extra = more or {}
    pools = {
        zone: [Ae(f"{zone.upper()}{number:02}", reserve_port(), zone) for number in range(1, pool + 1)]
        for zone in ("hospital", "cloud")
    }
    if target is not None:
        pools["cloud"].append(target)
    routes = [{"called": "*", "calling": "*", "to": {"ae": target.title}}] if route_all and target else []
    configs = [
        zone_config(
            zone,
            listener=reserve_port(),
            remote_aes=pools[zone],
            routes=routes if zone == "hospital" else (),
            more=extra.get(zone),
        )
        for zone in ("hospital", "cloud")
    ]
    mesh = Mesh.start(directory, configs, env=env)
    mesh.aes = {ae.title: ae for zone in pools.values() for ae in zone}
    return mesh
