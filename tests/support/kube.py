"""An API server for the operator: kmock, and over it what kmock lacks and the operator relies on.

Added: server-side apply with owners of `spec.replicas`, generations and resource versions, label selectors are the
client's business, garbage collection by owner references, and refusals that a test orders.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp.web
import anyio
import anyio.to_thread
import kmock
import yaml

from dimse_mesh.operator.cluster import KINDS
from dimse_mesh.operator.controller import serve

Manifest = dict[str, Any]
NAMESPACE = "imaging"
BY_TEST = "X-By-Test"
"""Header of the requests that a test makes."""


class ApiServer(kmock.KubernetesEmulator):
    """kmock's emulator with server-side apply."""

    def prepare(self, absent: frozenset[str]) -> None:
        """Declare the kinds that discovery must show, kopf's own included, and the API groups that it must not."""
        self._absent = absent
        self.refusals: list[tuple[str, str, int]] = []
        """(plural, name, status): refuse one apply each."""
        self.asked: set[tuple[str, str, str]] = set()
        """(verb, group, resource[/subresource]) of every request that the test itself did not make."""
        self._numbers = itertools.count(1)
        for kind, (version, plural) in KINDS.items():
            if version.partition("/")[0] in absent:
                continue
            info = self.resources[f"{version}/{plural}"]
            info.kind, info.singular, info.namespaced = kind, kind.lower(), True
            info.verbs.update({"get", "list", "watch", "create", "patch", "delete"})
            info.subresources.add("status")
        for name, kind in (
            ("v1/namespaces", "Namespace"),
            ("v1/events", "Event"),
            ("apiextensions.k8s.io/v1/customresourcedefinitions", "CustomResourceDefinition"),
        ):
            info = self.resources[name]
            info.kind, info.namespaced = kind, kind == "Event"
            info.verbs.update({"get", "list", "watch", "create", "patch", "delete"})

    async def _handle(self, request: kmock.Request) -> aiohttp.web.StreamResponse:
        self._note(request)
        if any(request.url.path.startswith(f"/apis/{group}/") for group in self._absent):
            # What a real API server says of a path that it doesn't know is no JSON.
            return aiohttp.web.Response(status=404, text="404 page not found\n")
        # kmock looks through every request that there ever was, several times, for each new one.
        del self._requests[:-50]
        applies = request.headers.get("Content-Type", "").startswith("application/apply-patch")
        if not applies or request.resource is None or request.name is None:
            return await super()._handle(request)
        for refusal in self.refusals:
            if refusal[:2] == (request.resource.plural, request.name):
                self.refusals.remove(refusal)
                return aiohttp.web.json_response({"message": "refused by the test"}, status=refusal[2])
        key = (request.resource, request.namespace, request.name)
        live = self.objects[key] if key in self.objects and not self.objects[key].deleted else None
        merged = self.stamped(
            request.data, live.raw if live is not None else None, request.params["fieldManager"]
        )
        async with self._lock:
            if live is None and key in self.objects:
                self.objects[key].create(merged)
            elif live is None:
                self.objects[key] = merged
            else:
                self.objects[key].history.append(merged)
            kind = "ADDED" if live is None else "MODIFIED"
            await self._buses[request.resource].put({"type": kind, "object": merged})
        return aiohttp.web.json_response(merged)

    def _note(self, request: kmock.Request) -> None:
        if request.resource is None or request.action is None or BY_TEST in request.headers:
            return
        if request.resource.plural is None:  # discovery: open to everybody
            return
        creates = request.headers.get("Content-Type", "").startswith("application/apply-patch")
        verbs = {"FETCH": ["get"], "UPDATE": ["patch", "create"] if creates else ["patch"]}
        plural = str(request.resource.plural) + (f"/{request.subresource}" if request.subresource else "")
        for verb in verbs.get(request.action.value, [request.action.value.lower()]):
            self.asked.add((verb, request.resource.group or "", plural))

    def stamped(self, wanted: Manifest, live: Manifest | None, manager: str) -> Manifest:
        """Return the object after `manager` applied `wanted`: its fields replaced, the server's kept."""
        merged = copy.deepcopy(wanted)
        before = (live or {}).get("metadata", {})
        metadata = merged["metadata"] = {**before, **merged["metadata"]}
        entries = {entry["manager"]: entry for entry in before.get("managedFields", ())}
        replicas: Manifest = {"f:replicas": {}} if "replicas" in wanted.get("spec", {}) else {}
        entries[manager] = {"manager": manager, "operation": "Apply", "fieldsV1": {"f:spec": replicas}}
        metadata["managedFields"] = list(entries.values())
        if (
            live is not None
            and len(wanted.get("spec", {})) < len(live.get("spec", {}))
            and not wanted.get("data")
        ):
            # Fields of other managers stay; enough of that rule for `replicas`.
            owned = any("f:replicas" in entry["fieldsV1"]["f:spec"] for entry in entries.values())
            merged["spec"] = {**({} if "template" in wanted["spec"] else live["spec"]), **wanted["spec"]}
            if owned and "replicas" in live["spec"]:
                merged["spec"].setdefault("replicas", live["spec"]["replicas"])
        if merged["kind"] == "Deployment":
            merged["spec"].setdefault("replicas", 1)
        if live is not None and "status" in live:
            merged["status"] = live["status"]
        changed = live is None or merged.get("spec") != live.get("spec")
        metadata["generation"] = before.get("generation", 0) + changed
        metadata["uid"] = before.get("uid") or f"uid-{next(self._numbers)}"
        metadata["resourceVersion"] = str(next(self._numbers))
        return merged


class Cluster:
    """What a person and the rest of a cluster do in a test, over the same HTTP API."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self._numbers = itertools.count(100)

    def url(self, kind: str, name: str = "") -> str:
        """Return the path of a kind in the test's namespace."""
        version, plural = KINDS[kind]
        root = "/api" if version == "v1" else "/apis"
        return f"{root}/{version}/namespaces/{NAMESPACE}/{plural}" + (f"/{name}" if name else "")

    async def create(self, kind: str, name: str, **parts: Any) -> str:
        """Create an object and return its uid."""
        uid = f"uid-{next(self._numbers)}"
        metadata = {"name": name, "namespace": NAMESPACE, "uid": uid, "generation": 1, "resourceVersion": uid}
        metadata |= parts.pop("metadata", {})
        body = {"apiVersion": KINDS[kind][0], "kind": kind, "metadata": metadata, **parts}
        await self._send("POST", self.url(kind), body)
        return uid

    async def patch(self, kind: str, name: str, change: Manifest) -> None:
        """Change an object; a change of its spec counts up its generation."""
        metadata = {"resourceVersion": f"version-{next(self._numbers)}"}
        if "spec" in change:
            metadata |= {"generation": self.raw(kind, name)["metadata"].get("generation", 0) + 1}
        await self._send(
            "PATCH", self.url(kind, name), {**change, "metadata": change.get("metadata", {}) | metadata}
        )

    async def delete(self, kind: str, name: str) -> None:
        """Delete an object, and then what it owns, as the garbage collector does."""
        uid = self.raw(kind, name)["metadata"]["uid"]
        await self._send("DELETE", self.url(kind, name), None)
        for child_kind, item in list(self.all()):
            owners = item["metadata"].get("ownerReferences", ())
            if any(owner["uid"] == uid for owner in owners):
                await self._send("DELETE", self.url(child_kind, item["metadata"]["name"]), None)

    async def _send(self, method: str, path: str, body: Manifest | None) -> None:
        headers = {BY_TEST: "yes"}
        if method == "PATCH":
            headers["Content-Type"] = "application/merge-patch+json"
        async with self.server.request(method, path, json=body, headers=headers) as response:
            assert response.status < 400, await response.text()

    def raw(self, kind: str, name: str) -> Manifest:
        """Return an object as it stands.

        Raises:
            KeyError: there is none.
        """
        return next(item for found, item in self.all() if found == kind and item["metadata"]["name"] == name)

    def all(self) -> Iterator[tuple[str, Manifest]]:
        """Yield every object with its kind."""
        plurals = {plural: kind for kind, (_, plural) in KINDS.items()}
        for (resource, _, _), item in self.server.objects.items():
            if not item.deleted and resource.plural in plurals:
                yield plurals[resource.plural], item.raw

    def names(self, kind: str) -> set[str]:
        """Return the names of all objects of a kind."""
        return {item["metadata"]["name"] for found, item in self.all() if found == kind}

    def status(self, name: str) -> Manifest:
        """Return the status of a DimseProxy; empty before there is one."""
        found = self.raw("DimseProxy", name).get("status", {})
        assert isinstance(found, dict)
        return found

    def condition(self, name: str, kind: str) -> Manifest:
        """Return one condition of a DimseProxy; empty before there is one."""
        return next((one for one in self.status(name).get("conditions", ()) if one["type"] == kind), {})

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until `condition()` holds.

        Raises:
            AssertionError: it did not within ten seconds.
        """
        deadline = anyio.current_time() + 10
        while not self._holds(condition):
            if anyio.current_time() > deadline:
                state = yaml.safe_dump(
                    {"status": [i.get("status") for k, i in self.all() if k == "DimseProxy"]}
                )
                raise AssertionError(f"still waiting: {what}\n{state}")
            await asyncio.sleep(0.01)

    @staticmethod
    def _holds(condition: Callable[[], bool]) -> bool:
        try:
            return condition()
        except (KeyError, StopIteration):
            return False

    async def roll_out(self, owner: str, *, ready: bool = True) -> None:
        """Play the deployment controller: every Deployment of `owner` has all its pods, ready or not."""
        for kind, item in list(self.all()):
            if kind == "Deployment" and item["metadata"]["name"].startswith(f"{owner}-"):
                count = item["spec"].get("replicas", 1)
                status = {
                    "observedGeneration": item["metadata"].get("generation", 0),
                    "replicas": count,
                    "updatedReplicas": count,
                    "readyReplicas": count if ready else 0,
                }
                await self.patch(kind, item["metadata"]["name"], {"status": status})


@asynccontextmanager
async def api_server(absent: frozenset[str] = frozenset()) -> AsyncIterator[Cluster]:
    """Serve an empty cluster on 127.0.0.1, without the API groups in `absent`."""
    server = ApiServer()
    server.prepare(absent)
    async with server, kmock.Server(server):
        yield Cluster(server)


def write_kubeconfig(path: Path, cluster: Cluster) -> None:
    """Write the credentials by which the operator finds the server."""
    config = {
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": str(cluster.server.url).rstrip("/")}}],
        "users": [{"name": "test", "user": {"token": "unused"}}],
    }
    path.write_text(yaml.safe_dump(config))


@asynccontextmanager
async def operator(*, round_seconds: float = 0.3) -> AsyncIterator[None]:
    """Run the operator as `dimse-mesh operator run` does, in a thread and event loop of its own."""
    stop = threading.Event()

    async def run() -> None:
        await serve(image="dimse-mesh:test", round_seconds=round_seconds, stop=stop)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, lambda: anyio.run(run))
        try:
            yield
        finally:
            stop.set()
