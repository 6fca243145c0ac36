"""What the cluster holds, kept up to date by watches: read here at no cost, instead of asking the API server.

A `Watcher` lists the objects of one kind with our labels, then watches from that list's version. When the server has
forgotten that version (410) it lists again, and tells of what went meanwhile. A kind that the cluster doesn't have
counts as empty and is looked for again every minute.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

import anyio

from dimse_mesh.operator.cluster import ApiError, Cluster
from dimse_mesh.operator.names import Manifest

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.2
LAST_RETRY_SECONDS = 30.0
ABSENT_SECONDS = 60.0
"""How long a kind that the cluster doesn't have is left alone."""

Changed = Callable[[Manifest], None]
"""Called with an object that came, changed or went."""


class Contents:
    """Objects by kind, namespace and name."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[tuple[str, str], Manifest]] = {}

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return an object, or None."""
        return self._objects.get(kind, {}).get((namespace, name))

    def put(self, item: Manifest) -> None:
        """Take in an object, unless a later version of it is here: answers and events overtake each other."""
        key = _key(item)
        known = self._objects.setdefault(item["kind"], {})
        if key not in known or version_of(item) >= version_of(known[key]):
            known[key] = item

    def remove(self, item: Manifest) -> None:
        """Forget an object."""
        self._objects.get(item["kind"], {}).pop(_key(item), None)

    def select(self, kind: str, namespace: str, instance: str) -> list[Manifest]:
        """Return the objects of one DimseProxy, by their instance label."""
        return [
            item
            for (where, _), item in self._objects.get(kind, {}).items()
            if where == namespace
            and item["metadata"].get("labels", {}).get("app.kubernetes.io/instance") == instance
        ]

    def all(self, kind: str, namespace: str | None = None) -> list[Manifest]:
        """Return every object of a kind, of one namespace or of all."""
        found = self._objects.get(kind, {})
        return [item for (where, _), item in found.items() if namespace in {None, where}]


def _key(item: Manifest) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def version_of(item: Manifest) -> int:
    """Return the resource version: a number that grows (KEP-5504), in etcd ever since."""
    text = str(item["metadata"].get("resourceVersion", "0"))
    return int(text) if text.isdigit() else 0


class Watcher:
    """Keeps one kind of one namespace (or of all) in `contents`."""

    def __init__(
        self,
        cluster: Cluster,
        contents: Contents,
        kind: str,
        *,
        namespace: str | None,
        labels: Mapping[str, str],
        changed: Changed,
        gone: Changed,
    ) -> None:
        self._cluster = cluster
        self._contents = contents
        self.kind = kind
        self._namespace = namespace
        self._labels = labels
        self._changed = changed
        self._gone = gone
        self.problem = ""
        """Why what is here may be old; empty when it isn't."""
        self._listed = anyio.Event()

    async def listed(self) -> None:
        """Wait until the kind was listed once, or is known not to exist."""
        await self._listed.wait()

    async def run(self) -> None:
        """List and watch until cancelled."""
        retry = FIRST_RETRY_SECONDS
        while True:
            try:
                version = await self._list()
                retry = FIRST_RETRY_SECONDS
                while True:
                    version = await self._follow(version)
            except ApiError as error:
                if error.status == 404:
                    self._replace(())
                    self.problem = ""
                    self._listed.set()
                    await anyio.sleep(ABSENT_SECONDS)
                    continue
                if error.status == 410:
                    continue
                if self._listed.is_set() and error.status == 0 and not self.problem:
                    log.info("%s: %s; listing again", self.kind, error)
                elif str(error) != self.problem:
                    log.warning("%s: %s", self.kind, error)
                self.problem = str(error)
            await anyio.sleep(retry)
            retry = min(2 * retry, LAST_RETRY_SECONDS)

    async def _list(self) -> str:
        items, version = await self._cluster.list(self.kind, self._namespace, self._labels)
        self._replace(items)
        self.problem = ""
        self._listed.set()
        return version

    def _replace(self, items: Iterable[Manifest]) -> None:
        kept = {_key(item): _slim(item) for item in items}
        for item in self._contents.all(self.kind, self._namespace):
            if _key(item) not in kept:
                self._contents.remove(item)
                self._gone(item)
        for item in kept.values():
            self._contents.put(item)
            self._changed(item)

    async def _follow(self, version: str) -> str:
        async for kind, item in self._cluster.watch(self.kind, self._namespace, self._labels, version):
            version = item["metadata"]["resourceVersion"]
            if kind in {"ADDED", "MODIFIED"}:
                self._contents.put(_slim(item))
                self._changed(item)
            elif kind == "DELETED":
                self._contents.remove(item)
                self._gone(item)
        return version


def _slim(item: Manifest) -> Manifest:
    """Return the object without what is read by nobody here: fifty zones are 1,300 objects."""
    metadata = item["metadata"]
    fields = metadata.pop("managedFields", ())
    if item["kind"] == "Deployment":
        # Who set the replicas.
        metadata["managedFields"] = [
            {"manager": one["manager"], "fieldsV1": {"f:spec": {"f:replicas": {}}}}
            for one in fields
            if "f:replicas" in one.get("fieldsV1", {}).get("f:spec", {})
        ]
    elif item["kind"] == "Pod":
        item["spec"] = {"containers": [_ports(one) for one in item["spec"].get("containers", ())]}
    return item


def _ports(container: Manifest) -> Manifest:
    return {name: container[name] for name in ("name", "ports") if name in container}
