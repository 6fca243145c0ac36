"""`dimse-mesh up`: every service of some zones as local processes, with an embedded nats-server if wanted.

When a child ends, the supervisor publishes an obituary at once, so that the other side of its associations knows, and
starts it again: the first time immediately, then after a growing pause. It restarts the nats-server, on the same
port, in the same way. Everything stops in order: front-ends drain first, while executors and handlers still work,
then executors, then handlers, and NATS last.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import anyio.abc

from dimse_mesh.app.children import Child, ChildSpec, nats_environment
from dimse_mesh.app.local_keys import local_keys
from dimse_mesh.app.nats_config import facts_of
from dimse_mesh.app.nursery import Nursery
from dimse_mesh.app.zone_files import Zone
from dimse_mesh.mesh.connection import Mesh, open_mesh
from dimse_mesh.mesh.liveness import announce_death
from dimse_mesh.mesh.settings import NatsSettings
from dimse_mesh.nats_server.embedded import EmbeddedServerError, available_port, embedded_server
from dimse_mesh.nats_server.keys import KeyFolder
from dimse_mesh.nats_server.permissions import meeting
from dimse_mesh.runtime.errors import StartError
from dimse_mesh.runtime.logging import EventLog
from dimse_mesh.runtime.process import STOP_SECONDS, drain_seconds
from dimse_mesh.runtime.settings import ZoneSettings
from dimse_mesh.runtime.signals import drain_on_signal, drained
from dimse_mesh.runtime.supervised import new_instance
from dimse_mesh.schemas.addresses import InstanceAddress, Role
from dimse_mesh.schemas.service import HANDLERS, ServiceName

START_SECONDS = 60.0
"""Seconds until all children must be ready."""
NATS_START_SECONDS = 60.0
"""How long nats-server may take to read what it keeps."""
MAX_PAUSE = 2.0
STABLE_SECONDS = 10.0
"""A child that ran for so many seconds is restarted without a pause."""
KILL_SECONDS = 2.0

STOP_ORDER = (
    (ServiceName.ASSOCIATION,),
    (ServiceName.SCU, ServiceName.DELIVERY),
    HANDLERS,
)

log = EventLog("dimse_mesh.app")


@dataclass(frozen=True, slots=True)
class _OwnNats:
    """The embedded nats-server: where it is and keeps its data, and with which keys it is entered."""

    url: str
    keys: KeyFolder
    store: Path | None
    """None: it has no JetStream."""

    def environment(self, zone: str) -> dict[str, str]:
        """Return the environment of a zone's services."""
        environment = nats_environment(self.url, self.keys.zone(zone))
        if self.store is not None:
            environment["DIMSE_MESH_SPOOL__STORE_DIR"] = str(self.store.absolute())
        return environment

    def settings(self, zone: str) -> NatsSettings:
        """Return how the supervisor connects for a zone."""
        return NatsSettings(servers=[self.url], nkey_seed=self.keys.zone(zone))


def zones_delivered_to(zones: Sequence[Zone]) -> set[str]:
    """Return the names of the zones to which durable routes of these lead, or that take objects of their own on."""
    met = meeting([facts_of(zone.settings) for zone in zones])
    return {facts.zone for facts in met if facts.incoming}


def children_of(zone: Zone, nats: dict[str, str], delivered_to: Collection[str]) -> list[ChildSpec]:
    """Return a specification for each instance that a zone's file asks for.

    Args:
        nats: environment variables that say where NATS is.
        delivered_to: `zones_delivered_to`.
    """
    http = zone.settings.observability.http
    processes = zone.settings.processes
    specs: list[ChildSpec] = []
    for service in ServiceName:
        count = processes.of(service)
        if service is ServiceName.DELIVERY and processes.delivery is None:
            count = int(zone.settings.zone in delivered_to)
        for index in range(count):
            environment = dict(nats)
            if http is not None and http.port:
                environment["DIMSE_MESH_OBSERVABILITY__HTTP__PORT"] = str(http.port + len(specs))
            specs.append(ChildSpec(zone.config, zone.settings.zone, service, index, environment))
    return specs


def _longer(pause: float) -> float:
    return min(max(0.1, pause * 2), MAX_PAUSE)


class Supervisor:
    """Keeps the services of `zones` running until SIGTERM or SIGINT.

    Args:
        zones: their files and settings.
        nursery: forks the services.
        nats_port: start a nats-server there and use it instead of `nats.servers`; None: use those.
        data_dir: where that nats-server keeps JetStream's data; None: it has no JetStream.
        announce: called once, when everything is ready.
    """

    def __init__(
        self,
        zones: Sequence[Zone],
        *,
        nursery: Nursery,
        nats_port: int | None,
        data_dir: Path | None,
        announce: Callable[[], None],
    ) -> None:
        self._zones = zones
        self._nats_port = nats_port
        self._data_dir = data_dir
        self._announce = announce
        self._children: dict[ChildSpec, Child] = {}
        self._meshes: dict[str, Mesh] = {}
        self._waiting: set[ChildSpec] = set()
        self._all_ready = anyio.Event()
        self._draining = anyio.Event()
        self._stopping = False
        self._nursery = nursery

    async def run(self) -> None:
        """Start everything, keep it running, stop it in order.

        Raises:
            StartError, MeshError: something can't start; nothing is left running. Possibly within a group.
        """
        async with anyio.create_task_group() as tasks:
            grace = sum(self._drain_seconds(group) for group in STOP_ORDER) + STOP_SECONDS
            await tasks.start(
                partial(drain_on_signal, self._draining, grace=grace, insist=self._kill_everything)
            )
            own = None if self._nats_port is None else await tasks.start(self._keep_nats)
            await self._supervise(own)
            tasks.cancel_scope.cancel()
        drained()

    async def _keep_nats(self, *, task_status: anyio.abc.TaskStatus[_OwnNats]) -> None:
        """Keep the embedded nats-server running on one port until cancelled; start with where it is and its keys."""
        assert self._nats_port is not None
        port, pause, told = available_port(self._nats_port), 0.0, False
        store = self._data_dir
        jetstream = store is not None
        with local_keys(port, [zone.settings for zone in self._zones], jetstream=jetstream) as (
            keys,
            accounts,
        ):
            while True:
                started = time.monotonic()
                code: int | None = None
                try:
                    async with embedded_server(
                        port,
                        store,
                        jetstream=jetstream,
                        extra_config=accounts,
                        start_timeout=NATS_START_SECONDS,
                    ) as server:
                        if not told:
                            task_status.started(_OwnNats(server.url, keys, store))
                            told = True
                        code = await server.wait()
                    why = server.last_line
                except EmbeddedServerError as error:
                    if not told:
                        raise
                    why = str(error)  # one that dies while it starts is started again, too
                if time.monotonic() - started > STABLE_SECONDS:
                    pause = 0.0
                log.warning("restarting", child="nats-server", code=code, why=why, pause=pause)
                await anyio.sleep(pause)
                pause = _longer(pause)

    async def _supervise(self, own: _OwnNats | None) -> None:
        delivered_to = zones_delivered_to(self._zones)
        specs = [
            spec
            for zone in self._zones
            for spec in children_of(
                zone, {} if own is None else own.environment(zone.settings.zone), delivered_to
            )
        ]
        self._waiting = set(specs)
        try:
            async with anyio.create_task_group() as tasks:
                for spec in specs:
                    tasks.start_soon(self._keep, spec)
                for zone in self._zones:
                    tasks.start_soon(self._connect, zone.settings, own)
                tasks.start_soon(self._give_up_starting)
                await self._first_of(self._all_ready, self._draining)
                if self._all_ready.is_set():
                    self._announce()
                await self._draining.wait()
                await self._stop_in_order()
                tasks.cancel_scope.cancel()
        finally:
            self._stopping = True
            with anyio.CancelScope(shield=True):
                await self._end(list(self._children.values()), KILL_SECONDS)

    async def _connect(self, settings: ZoneSettings, own: _OwnNats | None) -> None:
        """Keep a connection on which a zone's obituaries are published."""
        async with open_mesh(
            settings.nats if own is None else own.settings(settings.zone),
            root=settings.subject_root,
            address=InstanceAddress(settings.zone, Role.SUPERVISOR, new_instance()),
            first_connect_timeout=settings.mesh.first_connect_timeout,
        ) as mesh:
            self._meshes[settings.zone] = mesh
            await anyio.sleep_forever()

    async def _give_up_starting(self) -> None:
        with anyio.move_on_after(START_SECONDS):
            await self._all_ready.wait()
        if not self._all_ready.is_set():
            names = ", ".join(sorted(str(spec) for spec in self._waiting))
            raise StartError(f"not ready after {START_SECONDS:g} s: {names}")

    async def _keep(self, spec: ChildSpec) -> None:
        """Keep one instance running until the supervisor stops."""
        pause = 0.0
        while not self._stopping:
            started = time.monotonic()
            child = self._children[spec] = await Child.start(spec, self._nursery)
            await child.hear()
            if child.ready:
                self._waiting.discard(spec)
                if not self._waiting:
                    self._all_ready.set()
            code = await child.wait()
            if self._stopping or self._draining.is_set():
                return
            if not self._all_ready.is_set():
                raise StartError(
                    child.failure or f"{spec}: ended with exit code {code} before everything was ready"
                )
            mesh = self._meshes.get(spec.zone)
            if mesh is not None:
                announce_death(mesh, InstanceAddress(spec.zone, Role(spec.service.value), child.instance))
            child.close()
            if time.monotonic() - started > STABLE_SECONDS:
                pause = 0.0
            log.warning("restarting", child=str(spec), code=code, why=child.failure, pause=pause)
            await anyio.sleep(pause)
            pause = _longer(pause)

    @staticmethod
    async def _first_of(*events: anyio.Event) -> None:
        async with anyio.create_task_group() as tasks:

            async def wait(event: anyio.Event) -> None:
                await event.wait()
                tasks.cancel_scope.cancel()

            for event in events:
                tasks.start_soon(wait, event)

    async def _stop_in_order(self) -> None:
        self._stopping = True
        for group in STOP_ORDER:
            chosen = [child for spec, child in self._children.items() if spec.service in group]
            await self._end(chosen, self._drain_seconds(group) + KILL_SECONDS)

    @staticmethod
    async def _end(children: list[Child], grace: float) -> None:
        async with anyio.create_task_group() as tasks:
            for child in children:
                if child.running:
                    tasks.start_soon(child.stop, grace)

    def _drain_seconds(self, group: Sequence[ServiceName]) -> float:
        return max(drain_seconds(service, zone.settings) for zone in self._zones for service in group)

    def _kill_everything(self) -> None:
        """Kill all children: the second Ctrl-C doesn't wait."""
        for child in self._children.values():
            child.send(signal.SIGKILL)
