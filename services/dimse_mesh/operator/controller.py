"""Watch DimseProxies and what was made for them, and keep one task per DimseProxy that makes it true.

The resource gets no finalizers and no annotations: it can be deleted while no operator runs, and the garbage collector
deletes its children. Whatever is missed is found when the operator lists again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import anyio.abc

from dimse_mesh.operator.cluster import ApiError, Cluster, controller_of
from dimse_mesh.operator.names import Manifest
from dimse_mesh.operator.neighbours import Neighbours
from dimse_mesh.operator.reconcile import Memory, Reconciler
from dimse_mesh.operator.resource import KIND
from dimse_mesh.operator.watching import Contents

log = logging.getLogger(__name__)

ROUND_SECONDS = 15.0
"""How often pods are asked for their health and associations without being woken."""
SETTLE_SECONDS = 0.5
"""How long to wait after a pass: what happens meanwhile is dealt with in one."""
PASSES_AT_ONCE = 8
"""How many resources are worked on at a time: more would gain nothing, and cost memory and connections."""
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0
LEASE = "Lease"


@dataclass(slots=True)
class Resource:
    """One resource: its task, and what is known of it."""

    name: str
    namespace: str
    uid: str
    scope: anyio.CancelScope
    woken: anyio.Event = field(default_factory=anyio.Event)
    memory: Memory = field(default_factory=Memory)
    left_to: str = ""
    """The operator that looks after it in our place."""
    failing_since: float | None = None
    """When passes began to fail, all of them since."""
    error: str = ""


Outcome = Callable[[str, float], None]
"""Called after each pass: its result (ok, error) and how long it took."""


class Zones:
    """Every DimseProxy that is watched, one task each."""

    def __init__(
        self,
        tasks: anyio.abc.TaskGroup,
        cluster: Cluster,
        contents: Contents,
        reconciler: Reconciler,
        neighbours: Neighbours,
        *,
        outcome: Outcome,
        round_seconds: float = ROUND_SECONDS,
    ) -> None:
        self._tasks = tasks
        self._cluster = cluster
        self._contents = contents
        self._reconciler = reconciler
        self._neighbours = neighbours
        self._outcome = outcome
        self._round = round_seconds
        self._zones: dict[str, Resource] = {}
        self._begun: set[str | None] = set()
        self._turns = anyio.CapacityLimiter(PASSES_AT_ONCE)

    def begin(self, namespace: str | None = None) -> None:
        """Start the tasks of one namespace, or of all: it was listed once, so what is absent there is missing."""
        self._begun.add(namespace)
        for zone in self._zones.values():
            if namespace in {None, zone.namespace}:
                self._tasks.start_soon(self._keep, zone)

    @property
    def all(self) -> list[Resource]:
        """The resources that there are."""
        return list(self._zones.values())

    def changed(self, item: Manifest) -> None:
        """Take note of an object that came or changed."""
        if item["kind"] == LEASE:
            self._neighbours.saw(item)
            return
        if item["kind"] != KIND:
            self._wake(item)
            return
        metadata = item["metadata"]
        if metadata.get("deletionTimestamp"):
            self.gone(item)
            return
        zone = self._zones.get(metadata["uid"])
        if zone is None:
            zone = Resource(metadata["name"], metadata["namespace"], metadata["uid"], anyio.CancelScope())
            self._zones[zone.uid] = zone
            if self._begun & {None, zone.namespace}:
                self._tasks.start_soon(self._keep, zone)
        else:
            zone.woken.set()

    def gone(self, item: Manifest) -> None:
        """Take note of an object that was deleted."""
        if item["kind"] == LEASE:
            self._neighbours.gone(item)
            return
        if item["kind"] != KIND:
            if (zone := self._owner(item)) is not None:
                zone.memory.applied.gone(item)
            self._wake(item)
            return
        zone = self._zones.pop(item["metadata"]["uid"], None)
        if zone is not None:
            zone.scope.cancel()

    def _owner(self, item: Manifest) -> Resource | None:
        return self._zones.get((controller_of(item) or {}).get("uid", ""))

    def _wake(self, item: Manifest) -> None:
        zone = self._owner(item)
        if zone is not None:
            zone.woken.set()
            return
        # A pod's controller is a ReplicaSet; an object without one may be an orphan to adopt.
        labels = item["metadata"].get("labels", {})
        instance = labels.get("app.kubernetes.io/instance")
        for one in self._zones.values():
            if one.namespace == item["metadata"]["namespace"] and one.name[:40] == (instance or "")[:40]:
                one.woken.set()

    async def _keep(self, zone: Resource) -> None:
        retry = FIRST_RETRY_SECONDS
        with zone.scope:
            while True:
                zone.woken = anyio.Event()
                begun = anyio.current_time()
                async with self._turns:
                    failed = await self._pass(zone)
                self._outcome("error" if failed else "ok", anyio.current_time() - begun)
                await anyio.sleep(SETTLE_SECONDS)
                if failed:
                    # Not woken early: what happens meanwhile doesn't make the API server answer.
                    await anyio.sleep(retry)
                    retry = min(retry * 2, LAST_RETRY_SECONDS)
                    continue
                retry = FIRST_RETRY_SECONDS
                pause = min(self._round, zone.memory.due() - anyio.current_time())
                with anyio.move_on_after(max(pause, 0)):
                    await zone.woken.wait()

    async def _pass(self, zone: Resource) -> bool:
        """Reconcile once; tell whether it failed."""
        resource = self._contents.get(KIND, zone.namespace, zone.name)
        if resource is None or resource["metadata"]["uid"] != zone.uid:
            return False
        if self._is_left(zone):
            return False
        try:
            await self._reconciler.reconcile(self._cluster, resource, zone.memory)
        except ApiError as error:
            zone.error = str(error)
        except Exception as error:  # a fault met with one resource must not stop the others
            log.exception("%s/%s: not reconciled", zone.namespace, zone.name)
            zone.error = f"{type(error).__name__}: see the operator's log"
        else:
            zone.failing_since, zone.error = None, ""
            return False
        if zone.failing_since is None:
            zone.failing_since = anyio.current_time()
        log.warning("%s/%s: %s; trying again", zone.namespace, zone.name, zone.error)
        return True

    def _is_left(self, zone: Resource) -> bool:
        """Tell whether another operator looks after the zone."""
        holder = self._neighbours.holder(zone.namespace)
        if holder != zone.left_to:
            text = f"left to {holder}, the operator of this namespace" if holder else "nobody else's any more"
            log.info("%s/%s: %s", zone.namespace, zone.name, text)
            zone.left_to, zone.memory = holder, Memory()
        return bool(holder)
