"""One leader among several operators: a Lease that the leader renews and the others watch.

As client-go's leader election: a lease counts as lapsed when nobody has renewed it for its duration *as seen here*, so
that clocks of different nodes needn't agree; every change names the version that it was made from.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from dimse_mesh.operator.cluster import ApiError, Cluster
from dimse_mesh.operator.names import Manifest

log = logging.getLogger(__name__)

DURATION_SECONDS = 15
RENEW_SECONDS = 5.0
TRY_SECONDS = 2.0
"""How often somebody who isn't the leader looks."""


@dataclass(slots=True)
class Lease:
    """One candidate for a Lease."""

    cluster: Cluster
    namespace: str
    name: str
    identity: str
    now: Callable[[], str]
    """The time as a Lease states it."""
    labels: Mapping[str, str] = field(default_factory=dict)
    holder: str = ""
    """Who holds it, as last seen."""
    _seen: tuple[str, str] = ("", "")
    _seen_at: float = float("-inf")

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Wait for the lease, hold it for the block, and give it up.

        The block is cancelled when the lease is lost: another operator may act from then on.
        """
        await self._acquire()
        log.info("leader: %s holds the lease %s/%s", self.identity, self.namespace, self.name)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep, tasks.cancel_scope)
                yield
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(3):
                await self._give_up()

    async def _acquire(self) -> None:
        told = ""
        while True:
            try:
                if await self._take():
                    return
                message = f"standing by: {self.holder} holds the lease {self.namespace}/{self.name}"
            except ApiError as error:
                message = f"the lease {self.namespace}/{self.name} can't be taken: {error}"
            if message != told:
                log.info("%s", message)
                told = message
            await anyio.sleep(TRY_SECONDS)

    async def _take(self) -> bool:
        """Take the lease, or renew it; tell whether it is ours now."""
        found = await self.cluster.get("Lease", self.namespace, self.name)
        if found is None:
            return await self._write(None)
        spec = found.get("spec") or {}
        self.holder = str(spec.get("holderIdentity") or "")
        seen = (self.holder, str(found["metadata"]["resourceVersion"]))
        if seen != self._seen:
            self._seen, self._seen_at = seen, anyio.current_time()
        lapsed = anyio.current_time() - self._seen_at > float(spec.get("leaseDurationSeconds") or 0)
        if self.holder in {"", self.identity} or lapsed:
            return await self._write(found)
        return False

    async def _write(self, found: Manifest | None) -> bool:
        spec: Manifest = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": DURATION_SECONDS,
            "renewTime": self.now(),
        }
        if found is None or (found.get("spec") or {}).get("holderIdentity") != self.identity:
            before = int(((found or {}).get("spec") or {}).get("leaseTransitions") or 0)
            spec |= {"acquireTime": self.now(), "leaseTransitions": before + (found is not None)}
        try:
            if found is None:
                metadata: Manifest = {"name": self.name, "namespace": self.namespace, "labels": self.labels}
                lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
                await self.cluster.create({**lease, "spec": spec})
            else:
                version = found["metadata"]["resourceVersion"]
                change = {"metadata": {"resourceVersion": version, "labels": self.labels}, "spec": spec}
                if await self.cluster.merge("Lease", self.namespace, self.name, change) is None:
                    return False
        except ApiError as error:
            if error.status == 409:
                return False
            raise
        self.holder = self.identity
        return True

    async def _keep(self, leading: anyio.CancelScope) -> None:
        renewed = anyio.current_time()
        while True:
            await anyio.sleep(RENEW_SECONDS)
            try:
                with anyio.fail_after(RENEW_SECONDS):
                    if not await self._take():
                        log.error("the lease was lost to %s", self.holder)
                        leading.cancel()
                        return
                renewed = anyio.current_time()
            except (ApiError, TimeoutError) as error:
                log.warning("the lease was not renewed: %s", error or type(error).__name__)
                if anyio.current_time() - renewed > DURATION_SECONDS - RENEW_SECONDS:
                    leading.cancel()
                    return

    async def _give_up(self) -> None:
        """Let the next one begin at once."""
        if self.holder != self.identity:
            return
        try:
            found = await self.cluster.get("Lease", self.namespace, self.name)
            if found is not None and (found.get("spec") or {}).get("holderIdentity") == self.identity:
                change = {
                    "metadata": {"resourceVersion": found["metadata"]["resourceVersion"]},
                    "spec": {"holderIdentity": "", "leaseDurationSeconds": 1},
                }
                await self.cluster.merge("Lease", self.namespace, self.name, change)
        except ApiError as error:
            log.info("the lease was not given up: %s", error)
