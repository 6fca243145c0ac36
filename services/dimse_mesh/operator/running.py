"""The operator as a process: log in, wait to be the leader, watch, reconcile, until it is told to stop."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime

import anyio
import anyio.abc

from dimse_mesh.operator.cluster import CHILDREN, Cluster, connected
from dimse_mesh.operator.controller import LEASE, ROUND_SECONDS, Zones
from dimse_mesh.operator.credentials import Credentials
from dimse_mesh.operator.lease import Lease
from dimse_mesh.operator.limits import DEFAULT_LIMITS, EditorLimits
from dimse_mesh.operator.names import MANAGER
from dimse_mesh.operator.neighbours import Neighbours
from dimse_mesh.operator.pods import PodClient, asking
from dimse_mesh.operator.reconcile import Reconciler
from dimse_mesh.operator.resource import KIND
from dimse_mesh.operator.serving import Health, OperatorMetrics, served
from dimse_mesh.operator.watching import Contents, Watcher

log = logging.getLogger(__name__)

MANAGED = {"app.kubernetes.io/managed-by": MANAGER}
ROUNDS_PER_COUNT = 2
"""Rounds of asking pods after which a status is written for nothing but another count, of associations or objects."""
UNWELL_SECONDS = 300.0
"""How long the passes over a resource, or a watch, may fail before /healthz says so."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run.

    Attributes:
        namespaces: watch these only; empty: all.
        lease_namespace: where the Lease is; empty: the ServiceAccount's namespace.
        identity: of this process among candidates for the Lease; empty: made from the host's name.
        listen: host and port of the operator's own HTTP; None: none.
        limits: what a resource may choose.
    """

    image: str
    namespaces: Sequence[str] = ()
    lease_namespace: str = ""
    identity: str = ""
    listen: tuple[str, int] | None = None
    round_seconds: float = ROUND_SECONDS
    limits: EditorLimits = DEFAULT_LIMITS


@dataclass(slots=True)
class _State:
    """What the process says of itself."""

    leading: bool = False
    listed: bool = False
    zones: Zones | None = None
    contents: Contents = field(default_factory=Contents)
    watchers: list[Watcher] = field(default_factory=list)
    troubled: dict[str, float] = field(default_factory=dict)

    def ready(self) -> list[str]:
        if self.leading and not self.listed:
            return [f"{watcher.kind}: {watcher.problem or 'not listed yet'}" for watcher in self.watchers]
        return []

    def healthy(self) -> list[str]:
        now = anyio.current_time()
        complaints = self.ready()
        for zone in self.zones.all if self.zones else ():
            if zone.failing_since is not None and now - zone.failing_since > UNWELL_SECONDS:
                complaints.append(f"{zone.namespace}/{zone.name}: {zone.error}")
        problems = {f"{one.kind}: {one.problem}" for one in self.watchers if one.problem}
        self.troubled = {text: self.troubled.get(text, now) for text in problems}
        return complaints + [text for text, since in self.troubled.items() if now - since > UNWELL_SECONDS]


async def operate(login: Credentials, options: Options) -> None:
    """Reconcile until cancelled; stand by while another operator is the leader."""
    state, metrics = _State(), OperatorMetrics()

    def before_metrics() -> None:
        metrics.leader.set(state.leading)
        phases = {"Ready": 0, "Progressing": 0, "Degraded": 0, "Invalid": 0, "Unknown": 0}
        for item in state.contents.all(KIND):
            phase = (item.get("status") or {}).get("phase", "Unknown")
            phases[phase if phase in phases else "Unknown"] += 1
        for phase, count in phases.items():
            metrics.zones.labels(phase).set(count)

    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(connected(login, metrics.count_request))
        pods = await stack.enter_async_context(asking())
        if options.listen is not None:
            host, port = options.listen
            health = Health(state.ready, state.healthy)
            await stack.enter_async_context(served(host, port, health, metrics, before_metrics))
        first = options.namespaces[0] if options.namespaces else login.namespace
        lease = Lease(
            cluster,
            options.lease_namespace or first,
            MANAGER,
            options.identity or f"{socket.gethostname()}-{secrets.token_hex(4)}",
            now=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            labels=MANAGED,
        )
        while True:
            async with lease.held():
                state.leading = True
                await _lead(cluster, options, state, metrics, pods=pods, own=lease.namespace)
            state.leading, state.listed = False, False


async def _lead(
    cluster: Cluster,
    options: Options,
    state: _State,
    metrics: OperatorMetrics,
    *,
    pods: PodClient,
    own: str,
) -> None:
    state.contents, state.watchers = Contents(), []
    reconciler = Reconciler(
        state.contents,
        pods,
        image=options.image,
        now=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        clock=anyio.current_time,
        count_seconds=ROUNDS_PER_COUNT * options.round_seconds,
        limits=options.limits,
    )
    async with anyio.create_task_group() as tasks:
        zones = Zones(
            tasks,
            cluster,
            state.contents,
            reconciler,
            Neighbours(own, anyio.current_time),
            outcome=metrics.count_pass,
            round_seconds=options.round_seconds,
        )
        state.zones = zones
        kinds = (KIND, "Pod", *CHILDREN)
        for namespace in options.namespaces or (None,):
            watchers = [
                Watcher(
                    cluster,
                    state.contents,
                    kind,
                    namespace=namespace,
                    labels={} if kind == KIND else MANAGED,
                    changed=zones.changed,
                    gone=zones.gone,
                )
                for kind in (kinds if namespace else (LEASE, *kinds))
            ]
            for watcher in watchers:
                tasks.start_soon(watcher.run)
            state.watchers += watchers
            tasks.start_soon(_begin, zones, namespace, watchers)
        for watcher in state.watchers:
            await watcher.listed()
        state.listed = True


async def _begin(zones: Zones, namespace: str | None, watchers: Sequence[Watcher]) -> None:
    """Look after the zones of a namespace as soon as it is listed: another one may be gone, or forbidden."""
    for watcher in watchers:
        await watcher.listed()
    log.info("watching %s", namespace or "every namespace")
    zones.begin(namespace)


async def _until_told(tasks: anyio.abc.TaskGroup) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            log.info("stopping")
            tasks.cancel_scope.cancel()
            return


def run(login: Credentials, options: Options) -> None:
    """Run the operator as this process, until SIGTERM or SIGINT."""
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "INFO").upper(),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_until_told, tasks)
            await operate(login, options)

    anyio.run(main)
