"""kopf's part: watch DimseProxies and their Deployments, and wake one task per DimseProxy.

The handlers are event handlers, so the resource gets no finalizers and no annotations: it can be deleted while no
operator runs, and the garbage collector deletes its children. Whatever is missed is found at the next round.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.abc
import kopf

from dimse_mesh.operator.cluster import ApiError, connected, controller_uid
from dimse_mesh.operator.names import MANAGER, Manifest
from dimse_mesh.operator.reconcile import Applied, Reconciler
from dimse_mesh.operator.resource import GROUP, PLURAL, VERSION

log = logging.getLogger(__name__)

ROUND_SECONDS = 15.0
"""How often a resource is looked at without being woken: Secrets, pods' health, associations."""
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0


@dataclass(slots=True)
class _Zone:
    """One resource: its latest body, its task, what was applied for it."""

    body: Manifest
    scope: anyio.CancelScope
    woken: anyio.Event = field(default_factory=anyio.Event)
    applied: Applied = field(default_factory=Applied)


class Zones:
    """Every DimseProxy that is watched, one task each."""

    def __init__(
        self,
        tasks: anyio.abc.TaskGroup,
        reconciler: Reconciler,
        login: Callable[[], kopf.ConnectionInfo],
        *,
        round_seconds: float = ROUND_SECONDS,
    ) -> None:
        self._tasks = tasks
        self._reconciler = reconciler
        self._login = login
        self._round = round_seconds
        self._zones: dict[str, _Zone] = {}

    def saw(self, kind: str | None, body: Manifest) -> None:
        """Take note of an event about a DimseProxy; `kind` is None for what was there before we came."""
        uid = body["metadata"]["uid"]
        zone = self._zones.get(uid)
        if kind == "DELETED" or body["metadata"].get("deletionTimestamp"):
            if zone is not None:
                zone.scope.cancel()
                del self._zones[uid]
            return
        if zone is None:
            zone = self._zones[uid] = _Zone(body, anyio.CancelScope())
            self._tasks.start_soon(self._keep, zone)
            return
        changed = _generation(zone.body) != _generation(body)
        zone.body = body
        if changed:
            zone.woken.set()

    def saw_deployment(self, kind: str | None, body: Manifest) -> None:
        """Wake the owner of a Deployment: counts changed, or somebody else changed or deleted it."""
        zone = self._zones.get(controller_uid(body) or "")
        if zone is None:
            return
        known = zone.applied.generations.get(body["metadata"]["name"])
        if kind == "DELETED" or (known is not None and _generation(body) != known):
            zone.applied.forget()
        zone.woken.set()

    def close(self) -> None:
        """End every task; nothing is deleted in the cluster."""
        for zone in self._zones.values():
            zone.scope.cancel()
        self._zones.clear()

    async def _keep(self, zone: _Zone) -> None:
        retry = FIRST_RETRY_SECONDS
        with zone.scope:
            while True:
                zone.woken = anyio.Event()
                pause = self._round
                try:
                    async with connected(self._login) as cluster:
                        await self._reconciler.reconcile(cluster, zone.body, zone.applied)
                    retry = FIRST_RETRY_SECONDS
                except ApiError as error:
                    name = zone.body["metadata"]["name"]
                    log.warning("%s: %s; trying again in %g s", name, error, retry)
                    pause, retry = retry, min(retry * 2, LAST_RETRY_SECONDS)
                with anyio.move_on_after(pause):
                    await zone.woken.wait()


def _generation(body: Manifest) -> int:
    return int(body["metadata"].get("generation", 0))


def registry_for(zones: Zones) -> kopf.OperatorRegistry:
    """Return kopf's registry with our handlers in it; nothing is registered globally."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def connection(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo:
        return login(settings)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def resource_event(type: str | None, body: kopf.Body, **_: Any) -> None:
        zones.saw(type, _plain(body))

    @kopf.on.event(
        "apps", "v1", "deployments", labels={"app.kubernetes.io/managed-by": MANAGER}, registry=registry
    )
    async def deployment_event(type: str | None, body: kopf.Body, **_: Any) -> None:
        zones.saw_deployment(type, _plain(body))

    @kopf.on.cleanup(registry=registry)
    async def end(**_: Any) -> None:
        zones.close()

    return registry


def _plain(body: kopf.Body) -> Manifest:
    return {name: body[name] for name in body}


def login(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo:
    """Return the credentials of the service account, or of the kubeconfig.

    Raises:
        ApiError: there are neither.
    """
    info = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
    if info is None:
        raise ApiError(0, "no credentials: neither a service account nor a kubeconfig")
    return info


async def serve(
    *,
    image: str,
    namespaces: Sequence[str] = (),
    liveness: str | None = None,
    round_seconds: float = ROUND_SECONDS,
    stop: threading.Event | None = None,
) -> None:
    """Watch and reconcile until `stop` is set or, in the main thread, SIGTERM or SIGINT.

    Don't cancel it: kopf needs a moment to close its connections.
    """
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    reconciler = Reconciler(image=image, now=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    async with anyio.create_task_group() as tasks:
        zones = Zones(tasks, reconciler, lambda: login(settings), round_seconds=round_seconds)
        await kopf.operator(
            registry=registry_for(zones),
            settings=settings,
            standalone=True,
            clusterwide=not namespaces,
            namespaces=list(namespaces),
            liveness_endpoint=liveness,
            stop_flag=stop,
        )
        tasks.cancel_scope.cancel()


def run(*, image: str, namespaces: Sequence[str] = (), liveness: str | None = None) -> None:
    """Run the operator as this process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("kopf").setLevel(logging.WARNING)
    anyio.run(lambda: serve(image=image, namespaces=namespaces, liveness=liveness))
